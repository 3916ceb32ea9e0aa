"""Rows of trials: Optuna's own tables and ours, written in bulk, in trial-number order."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialValueModel
from optuna.trial import TrialState as OptunaState
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    delete,
    func,
    insert,
    select,
    update,
)

from hpsearch.spec.space import ParameterValue
from hpsearch.spec.states import FailureKind, Origin, TrialState
from hpsearch.spec.views import Failure, Pruned
from hpsearch.storage import bulk
from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import (
    epochs,
    optuna_intermediate,
    optuna_params,
    optuna_system_attrs,
    optuna_trials,
    optuna_values,
    trials,
)

FIXED_PARAMS = "fixed_params"  # Optuna's name for what an enqueued trial is asked to try
_distribution = lru_cache(4096)(json_to_distribution)  # a study has few, its trials many
MAX_TRIAL_NUMBER = 2**31 - 1  # Optuna keeps numbers in 32 bits
CHUNK = 500  # most ids in one IN list, well under SQLite's variable limit


@dataclass(frozen=True, slots=True)
class TrialCountsRecord:
    """How many trials of a study stand where.

    Attributes:
        waiting: WAITING.
        waiting_begun: WAITING, but with an attempt behind them.
        running: RUNNING.
        complete: COMPLETE.
        pruned: PRUNED.
        fail: FAIL.
        counted: What ``max_trials`` compares.
        counted_fail: What ``max_failed_trials`` compares.
        total: All.
        n_recent: Finished since the sums that are kept with the study.
    """

    waiting: int
    waiting_begun: int
    running: int
    complete: int
    pruned: int
    fail: int
    counted: int
    counted_fail: int
    total: int
    n_recent: int


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial: our columns and Optuna's state and times; parameters are read apart."""

    trial_id: int
    study_id: int
    number: int
    state: TrialState
    revision: int
    origin: Origin
    sample_index: int | None
    has_params: bool
    is_counted: bool
    n_attempts: int
    n_losses: int
    planned_epochs: int | None
    epochs: int
    best_epoch: int | None
    stopped_early: bool
    n_parameters: int | None
    device_seconds: float
    running_s: float
    test: dict[str, float] | None
    confusion: list[list[int]] | None
    failure: Failure | None
    pruned: Pruned | None
    checkpoint: dict[str, Any] | None
    pack_limit: int | None
    cleared_after: int
    is_asked_to_stop: bool
    request_key: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


_COLUMNS = (
    *trials.c,
    optuna_trials.c.state,
    optuna_trials.c.datetime_start,
    optuna_trials.c.datetime_complete,
)


def select_trials(*where: ColumnElement[bool]) -> Select[Any]:
    """Return the query of trial records, ours joined to Optuna's."""
    joined = trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id)
    return select(*_COLUMNS).select_from(joined).where(*where)


def fetch(tx: Transaction, query: Select[Any]) -> list[TrialRecord]:
    """Return the records of a query made by :func:`select_trials`."""
    return [_record(row) for row in tx.execute(query)]


def waiting(tx: Transaction, study_id: int, limit: int, *, begun: bool) -> list[TrialRecord]:
    """Return WAITING trials that nobody suspects, in number order.

    Args:
        tx: An open transaction.
        study_id: Whose.
        limit: Most trials returned.
        begun: Only those that had an attempt.
    """
    query = _waiting(study_id).where(trials.c.pack_limit.is_(None))
    if begun:
        query = query.where(trials.c.n_attempts > 0)
    return fetch(tx, query.order_by(trials.c.number).limit(limit))


def suspects(tx: Transaction, study_id: int) -> list[TrialRecord]:
    """Return WAITING trials under whom a worker died: the next group that may run together.

    The largest groups come first, because most of their members are innocent.
    """
    most = _waiting(study_id).with_only_columns(func.max(trials.c.pack_limit))
    pack_limit = tx.execute(most).scalar()
    if pack_limit is None:
        return []
    query = _waiting(study_id).where(trials.c.pack_limit == pack_limit)
    return fetch(tx, query.order_by(trials.c.number).limit(pack_limit))


def _waiting(study_id: int) -> Select[Any]:
    return select_trials(
        trials.c.study_id == study_id, optuna_trials.c.state == OptunaState.WAITING
    )


def by_numbers(tx: Transaction, study_id: int, numbers: Iterable[int]) -> list[TrialRecord]:
    """Return the study's trials of these numbers, in number order."""
    found: list[TrialRecord] = []
    for chunk in _chunks(sorted(numbers)):
        query = select_trials(trials.c.study_id == study_id, trials.c.number.in_(chunk))
        found += fetch(tx, query.order_by(trials.c.number))
    return found


def find_trial(tx: Transaction, study_id: int, number: int) -> TrialRecord | None:
    """Return the study's trial of this number, None if there is none; any number may be asked."""
    wanted = [number] if 0 <= number <= MAX_TRIAL_NUMBER else []
    return next(iter(by_numbers(tx, study_id, wanted)), None)


def numbers(
    tx: Transaction,
    study_id: int,
    *,
    state: TrialState | None = None,
    origin: Origin | None = None,
) -> list[int]:
    """Return the numbers of the study's trials in order, filtered."""
    query = filtered(select(trials.c.number), study_id, state=state, origin=origin)
    return list(tx.execute(query.order_by(trials.c.number)).scalars())


def filtered(
    query: Select[Any],
    study_id: int,
    *,
    state: TrialState | None = None,
    origin: Origin | None = None,
) -> Select[Any]:
    """Return a query over our trials and Optuna's, narrowed to those of a study that match."""
    joined = trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id)
    query = query.select_from(joined).where(trials.c.study_id == study_id)
    if state is not None:
        query = query.where(optuna_trials.c.state == OptunaState[state.name])
    if origin is not None:
        query = query.where(trials.c.origin == origin)
    return query


def insert_trials(
    tx: Transaction,
    study_id: int,
    *,
    first_number: int,
    sample_indices: Sequence[int],
    revision: int,
    at: datetime,
) -> list[int]:
    """Write new RUNNING trials without parameters; return their ids in number order."""
    rows = [
        {"origin": Origin.SAMPLED, "sample_index": index, "n_attempts": 1}
        for index in sample_indices
    ]
    return _insert(tx, study_id, first_number, rows, OptunaState.RUNNING, revision, at)


def enqueue_trials(
    tx: Transaction,
    study_id: int,
    *,
    first_number: int,
    points: Sequence[Mapping[str, ParameterValue]],
    origin: Origin,
    request_key: str | None,
    revision: int,
    at: datetime,
) -> list[int]:
    """Write WAITING trials with fixed parameters, as Optuna's ``enqueue_trial`` would."""
    columns = {"origin": origin, "sample_index": None, "n_attempts": 0, "request_key": request_key}
    rows = [columns] * len(points)
    ids = _insert(tx, study_id, first_number, rows, OptunaState.WAITING, revision, at)
    fixed = zip(ids, points, strict=True)
    write_system_attrs(tx, {trial_id: {FIXED_PARAMS: dict(point)} for trial_id, point in fixed})
    return ids


_NEW_IDS = insert(optuna_trials).returning(optuna_trials.c.trial_id, sort_by_parameter_order=True)


def _insert(
    tx: Transaction,
    study_id: int,
    first_number: int,
    rows: Sequence[Mapping[str, Any]],
    state: OptunaState,
    revision: int,
    at: datetime,
) -> list[int]:
    started = _naive(at) if state is OptunaState.RUNNING else None
    numbers = range(first_number, first_number + len(rows))
    new = [
        {"study_id": study_id, "number": n, "state": state, "datetime_start": started}
        for n in numbers
    ]
    ids = list(tx.execute(_NEW_IDS, new).scalars())
    bulk.insert_rows(
        tx,
        trials,
        [
            {
                "trial_id": trial_id,
                "study_id": study_id,
                "number": number,
                "revision": revision,
                "n_losses": 0,
                "epochs": 0,
                "device_seconds": 0.0,
                "running_s": 0.0,
                "created_at": at,
                **row,
            }
            for trial_id, number, row in zip(ids, numbers, rows, strict=True)
        ],
    )
    return ids


def fixed_params(
    tx: Transaction, trial_ids: Iterable[int]
) -> dict[int, dict[str, ParameterValue]]:
    """Return the parameters that were asked for, by trial id; others are left out."""
    columns = optuna_system_attrs.c
    found: dict[int, dict[str, ParameterValue]] = {}
    for chunk in _chunks(list(trial_ids)):
        query = select(columns.trial_id, columns.value_json).where(
            columns.key == FIXED_PARAMS, columns.trial_id.in_(chunk)
        )
        for trial_id, text in tx.execute(query):
            found[trial_id] = json.loads(text)
    return found


def of_request(tx: Transaction, study_id: int, request_key: str) -> list[TrialRecord]:
    """Return the trials that a request made, in number order."""
    query = select_trials(trials.c.study_id == study_id, trials.c.request_key == request_key)
    return fetch(tx, query.order_by(trials.c.number))


def start(tx: Transaction, records: Sequence[TrialRecord], *, revision: int, at: datetime) -> None:
    """Make WAITING trials RUNNING with one more attempt; the first start time stays."""
    ids = [record.trial_id for record in records]
    for chunk in _chunks(ids):
        tx.execute(
            update(optuna_trials)
            .where(optuna_trials.c.trial_id.in_(chunk))
            .values(
                state=OptunaState.RUNNING,
                datetime_start=func.coalesce(optuna_trials.c.datetime_start, _naive(at)),
            )
        )
        tx.execute(
            update(trials)
            .where(trials.c.trial_id.in_(chunk))
            .values(n_attempts=trials.c.n_attempts + 1, revision=revision)
        )


def write_params(
    tx: Transaction,
    params: Mapping[int, Mapping[str, tuple[ParameterValue, BaseDistribution]]],
    system_attrs: Mapping[int, Mapping[str, Any]],
    planned_epochs: Mapping[int, int],
    *,
    revision: int,
) -> None:
    """Write the parameters of trials, as Optuna stores them.

    Args:
        tx: An open transaction that holds the study's lock.
        params: Value and distribution by trial id and parameter name.
        system_attrs: The sampler's own attributes by trial id and key.
        planned_epochs: Epochs the trial would run, by trial id.
        revision: Stamped on the trials.
    """
    rows = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(value),
            "distribution_json": distribution_to_json(distribution),
        }
        for trial_id, named in params.items()
        for name, (value, distribution) in named.items()
    ]
    bulk.insert_rows(tx, optuna_params, rows)
    write_system_attrs(tx, system_attrs)
    update_trials(
        tx,
        {
            trial_id: {
                "has_params": True,
                "planned_epochs": planned_epochs[trial_id],
                "revision": revision,
            }
            for trial_id in params
        },
    )


def write_system_attrs(tx: Transaction, attrs: Mapping[int, Mapping[str, Any]]) -> None:
    """Write Optuna system attributes by trial id and key, replacing those there are."""
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for trial_id, named in attrs.items()
        for key, value in named.items()
    ]
    bulk.insert_rows(tx, optuna_system_attrs, rows, replacing=("trial_id", "key"))


def read_params(tx: Transaction, trial_ids: Iterable[int]) -> dict[int, dict[str, ParameterValue]]:
    """Return the parameters of trials by id, in the order they were drawn."""
    found: dict[int, dict[str, ParameterValue]] = {}
    columns = optuna_params.c
    for chunk in _chunks(list(trial_ids)):
        query = (
            select(
                columns.trial_id,
                columns.param_name,
                columns.param_value,
                columns.distribution_json,
            )
            .where(columns.trial_id.in_(chunk))
            .order_by(columns.param_id)
        )
        for trial_id, name, value, distribution in tx.execute(query):
            named = found.setdefault(trial_id, {})
            named[name] = _distribution(distribution).to_external_repr(value)
    return found


def read_values(tx: Transaction, trial_ids: Iterable[int]) -> dict[int, list[float]]:
    """Return the objective values of trials by id, in the order of the objectives."""
    found: dict[int, list[float]] = {}
    columns = optuna_values.c
    for chunk in _chunks(list(trial_ids)):
        query = (
            select(columns.trial_id, columns.value, columns.value_type)
            .where(columns.trial_id.in_(chunk))
            .order_by(columns.trial_id, columns.objective)
        )
        for trial_id, value, kind in tx.execute(query):
            restored = TrialValueModel.stored_repr_to_value(value, kind)
            found.setdefault(trial_id, []).append(restored)
    return found


def complete_values(tx: Transaction, study_id: int) -> list[tuple[int, list[float]]]:
    """Return number and objective values of every COMPLETE trial, in number order."""
    joined = optuna_values.join(
        optuna_trials, optuna_values.c.trial_id == optuna_trials.c.trial_id
    )
    query = (
        select(optuna_trials.c.number, optuna_values.c.value, optuna_values.c.value_type)
        .select_from(joined)
        .where(
            optuna_trials.c.study_id == study_id,
            optuna_trials.c.state == OptunaState.COMPLETE,
        )
        .order_by(optuna_trials.c.number, optuna_values.c.objective)
    )
    found: dict[int, list[float]] = {}
    for number, value, kind in tx.execute(query):
        found.setdefault(number, []).append(TrialValueModel.stored_repr_to_value(value, kind))
    return list(found.items())


def write_values(tx: Transaction, values: Mapping[int, Sequence[float]]) -> None:
    """Write the objective values of trials that are COMPLETE now, by trial id."""
    rows = []
    for trial_id, of_trial in values.items():
        for objective, value in enumerate(of_trial):
            stored, kind = TrialValueModel.value_to_stored_repr(value)
            rows.append(
                {
                    "trial_id": trial_id,
                    "objective": objective,
                    "value": stored,
                    "value_type": kind,
                }
            )
    bulk.insert_rows(tx, optuna_values, rows)


def write_intermediate(tx: Transaction, values: Mapping[tuple[int, int], float]) -> None:
    """Write intermediate values by (trial id, step); the steps are not there yet."""
    rows = []
    for (trial_id, step), value in values.items():
        stored, kind = TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
        rows.append(
            {
                "trial_id": trial_id,
                "step": step,
                "intermediate_value": stored,
                "intermediate_value_type": kind,
            }
        )
    bulk.insert_rows(tx, optuna_intermediate, rows)


def set_states(tx: Transaction, states: Mapping[int, TrialState], *, at: datetime) -> None:
    """Set Optuna's states by trial id; a finished one gets its completion time."""
    bulk.update_rows(
        tx,
        optuna_trials,
        "trial_id",
        [
            {
                "trial_id": trial_id,
                "state": OptunaState[state.name],
                "datetime_complete": _naive(at) if state.has_finished else None,
            }
            for trial_id, state in states.items()
        ],
    )


def update_trial(tx: Transaction, trial_id: int, **changes: Any) -> None:
    """Write our columns of one trial of a locked study."""
    tx.execute(update(trials).where(trials.c.trial_id == trial_id).values(**changes))


def update_trials(tx: Transaction, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Write the same columns of many trials of a locked study, by trial id, in bulk."""
    bulk.update_rows(
        tx, trials, "trial_id", [{"trial_id": id_, **row} for id_, row in changes.items()]
    )


def forget_future(tx: Transaction, trial_id: int, last_epoch: int) -> None:
    """Delete what a trial measured after ``last_epoch``, so that no rule judges a retry by it."""
    tx.execute(delete(epochs).where(epochs.c.trial_id == trial_id, epochs.c.epoch > last_epoch))
    tx.execute(
        delete(optuna_intermediate).where(
            optuna_intermediate.c.trial_id == trial_id, optuna_intermediate.c.step > last_epoch
        )
    )


def delete_system_attrs(tx: Transaction, trial_id: int, is_future: Callable[[str], bool]) -> None:
    """Delete the Optuna system attributes of a trial whose keys are of the future."""
    attrs = optuna_system_attrs.c
    keys = tx.execute(select(attrs.key).where(attrs.trial_id == trial_id)).scalars()
    future = [key for key in keys if is_future(key)]
    if future:
        where = (attrs.trial_id == trial_id, attrs.key.in_(future))
        tx.execute(delete(optuna_system_attrs).where(*where))


def _record(row: Row[Any]) -> TrialRecord:
    fields = dict(row._mapping)
    state: OptunaState = fields.pop("state")
    kind, message = fields.pop("failure_kind"), fields.pop("failure_message")
    pruned = fields.pop("pruned")
    started, finished = fields.pop("datetime_start"), fields.pop("datetime_complete")
    return TrialRecord(
        **{**fields, "origin": Origin(fields["origin"])},
        state=TrialState[state.name],
        failure=None if kind is None else Failure(FailureKind(kind), message or ""),
        pruned=None if pruned is None else Pruned(**pruned),
        started_at=None if started is None else started.replace(tzinfo=UTC),
        finished_at=None if finished is None else finished.replace(tzinfo=UTC),
    )


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def _chunks(items: Sequence[int]) -> Iterable[Sequence[int]]:
    return (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))
