"""Studies of many finished trials, quickly: the first by the verbs, the others copied in bulk."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Table, func, insert, select, text, update

from hpsearch.sampling.distributions import to_distribution
from hpsearch.sampling.random import PointDraw
from hpsearch.spec.definition import Definition
from hpsearch.storage import owners, studies, tallies
from hpsearch.storage.database import Database, Transaction
from hpsearch.storage.tables import (
    attempts,
    epochs,
    optuna_intermediate,
    optuna_params,
    optuna_system_attrs,
    optuna_trials,
    optuna_values,
    trials,
)
from hpsearch.storage.tables import studies as studies_table
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.compiled import compiled
from hpsearch.studies.report import TrialReport
from tests.studies import Hand, ended, metrics_of

PACK = 32
N_BY_VERBS = 4 * PACK  # and the others have the rows of these, but for points and values
CHUNK = 2000  # trials written at once
CHILDREN = (optuna_params, optuna_values, optuna_intermediate, optuna_system_attrs, epochs)


def value_of(number: int) -> float:
    """Return the validation accuracy of a trial."""
    return 0.5 + number % 100 / 250


def finish_by_verbs(hand: Hand, n: int, n_epochs: int = 1) -> None:
    """Claim and end ``n`` trials, a pack at a time."""
    while n > 0:
        lanes = hand.claim(min(n, PACK))
        hand.report(*(_ended(lane, n_epochs) for lane in lanes))
        n -= len(lanes)


def _ended(lane: ClaimedTrial, n_epochs: int) -> TrialReport:
    """Return the report of all epochs and the end of a lane."""
    value = value_of(lane.number)
    report = ended(lane, value, n_epochs)
    before = {epoch: metrics_of(value) for epoch in range(1, n_epochs)}
    return replace(report, epochs={**before, **report.epochs})


def fill(database: Database, hand: Hand, n: int, n_epochs: int = 1) -> None:
    """Finish ``n`` trials of a new study that samples at random, each with so many epochs.

    The rows are those the verbs would have written, times, tokens and claim ids apart.
    """
    finish_by_verbs(hand, min(n, N_BY_VERBS), n_epochs)
    for first in range(N_BY_VERBS, n, CHUNK):
        with database.write() as tx:
            _copy(tx, hand, range(first, min(first + CHUNK, n)))
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, hand.uuid)
        assert study is not None
        tallies.fold(tx, study)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
            tx.execute(text("ANALYZE"))  # as its own housekeeping would have done meanwhile


def _copy(tx: Transaction, hand: Hand, numbers: range) -> None:
    study = studies.lock_by_uuid(tx, hand.uuid)
    assert study is not None
    definition = compiled(study)
    models = _models(tx, study.study_id)
    n_revisions = _revisions_of_a_pack(models)
    after = tx.execute(select(func.max(optuna_trials.c.trial_id))).scalar_one()
    written: dict[Table, list[dict[str, Any]]] = {}
    for trial_id, number in enumerate(numbers, after + 1):
        model = number % PACK
        packs_later = number // PACK - models[trials][model][0]["number"] // PACK
        for table, of_model in models.items():
            for row in of_model[model]:
                new = {**row, **_ours(table, row, trial_id, number, definition)}
                if "revision" in new:
                    new["revision"] += packs_later * n_revisions
                written.setdefault(table, []).append(new)
    for table, rows in written.items():
        tx.execute(insert(table), rows)
    last = max(row["revision"] for row in written[trials])
    tx.execute(
        update(studies_table)
        .where(studies_table.c.study_id == study.study_id)
        .values(
            revision=last,
            next_sample_index=numbers[-1] + 1,
            device_seconds=float(numbers[-1] + 1),
            virtual_time=float(numbers[-1] + 1),
        )
    )
    owners.charge(tx, study.owner, len(numbers))
    if tx.dialect.name != "sqlite":
        sequence = "SELECT setval(pg_get_serial_sequence('trials', 'trial_id'), :last)"
        tx.execute(text(sequence), {"last": after + len(numbers)})


def _models(tx: Transaction, study_id: int) -> dict[Table, list[list[dict[str, Any]]]]:
    """Return the rows of the last whole pack the verbs have written, by table and lane."""
    numbers = range(N_BY_VERBS - PACK, N_BY_VERBS)
    query = select(optuna_trials).where(
        optuna_trials.c.study_id == study_id, optuna_trials.c.number.in_(numbers)
    )
    found = [dict(row) for row in tx.execute(query.order_by("number")).mappings()]
    ids = [row["trial_id"] for row in found]
    models = {optuna_trials: [[row] for row in found]}
    for table in (trials, attempts, *CHILDREN):
        by_id: dict[int, list[dict[str, Any]]] = {trial_id: [] for trial_id in ids}
        rows = select(table).where(table.c.trial_id.in_(ids)).order_by(*table.primary_key)
        for row in tx.execute(rows).mappings():
            by_id[row["trial_id"]].append(_without_key(table, row))
        models[table] = [by_id[trial_id] for trial_id in ids]
    return models


def _without_key(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    keys = [column.name for column in table.primary_key]
    own = keys[0] if len(keys) == 1 and keys != ["trial_id"] else None  # counted by the database
    return {name: value for name, value in row.items() if name != own}


def _ours(
    table: Table, row: Mapping[str, Any], trial_id: int, number: int, definition: Definition
) -> dict[str, Any]:
    """Return what differs from the model's row."""
    new: dict[str, Any] = {"trial_id": trial_id}
    value = value_of(number)
    if table is optuna_trials:
        new |= {"number": number}
    elif table is trials:
        new |= {"number": number, "sample_index": number, "test": {"accuracy": value, "loss": 1.0}}
    elif table is attempts:
        claim_id = f"{number // PACK:036d}"
        new |= {"trial_number": number, "token": secrets.token_hex(16), "claim_id": claim_id}
    elif table is optuna_params:
        name = row["param_name"]
        drawn = definition.space.suggest(PointDraw(definition.seed, number))
        distribution = to_distribution(definition.space.domains[name])
        new |= {"param_value": distribution.to_internal_repr(drawn[name])}
    elif table is optuna_values:
        new |= {"value": value}
    elif table is optuna_intermediate:
        new |= {"intermediate_value": value}
    elif table is epochs:
        new |= {"metrics": {**row["metrics"], "val_accuracy": value, "val_loss": 1.0 - value}}
    return new


def _revisions_of_a_pack(models: Mapping[Table, list[list[dict[str, Any]]]]) -> int:
    """Return by how much a pack's claim and report raise the study's revision."""
    revision: int = models[trials][0][0]["revision"]
    # the study begins at 1; every pack before this one raised it as often
    return (revision - 1) * PACK // N_BY_VERBS
