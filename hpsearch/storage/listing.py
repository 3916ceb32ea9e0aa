"""What lists need to know of trials before they are read whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.storages._rdb.models import TrialValueModel
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Select, select

from hpsearch.spec.states import Origin, TrialState
from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import optuna_trials, optuna_values, trials
from hpsearch.storage.trials import CHUNK, filtered

_STAMP = (trials.c.number, trials.c.revision, optuna_trials.c.state)


@dataclass(frozen=True, slots=True)
class TrialStamp:
    """A trial's number, its state, and the revision that wrote its row last."""

    number: int
    revision: int
    state: TrialState


def stamps_by_number(
    tx: Transaction,
    study_id: int,
    *,
    state: TrialState | None,
    origin: Origin | None,
    is_descending: bool = False,
    after: int | None = None,
    limit: int | None = None,
) -> list[TrialStamp]:
    """Return the stamps of trials in number order, beginning after a number."""
    number = trials.c.number
    query = filtered(select(*_STAMP), study_id, state=state, origin=origin)
    if after is not None:
        query = query.where(number < after if is_descending else number > after)
    query = query.order_by(number.desc() if is_descending else number.asc())
    if limit is not None:
        query = query.limit(limit)
    return _fetch(tx, query)


def stamps_of(tx: Transaction, study_id: int, numbers: list[int]) -> list[TrialStamp]:
    """Return the stamps of these trials, in the order of ``numbers``."""
    found: dict[int, TrialStamp] = {}
    for i in range(0, len(numbers), CHUNK):
        chunk = numbers[i : i + CHUNK]
        query = filtered(select(*_STAMP), study_id).where(trials.c.number.in_(chunk))
        found |= {stamp.number: stamp for stamp in _fetch(tx, query)}
    return [found[number] for number in numbers]


def curve_lengths(
    tx: Transaction,
    study_id: int,
    *,
    numbers: Sequence[int] | None = None,
    after: int | None = None,
    limit: int,
) -> list[tuple[int, int]]:
    """Return number and epochs of trials that have any, in number order, beginning after one."""
    query = select(trials.c.number, trials.c.epochs).where(
        trials.c.study_id == study_id, trials.c.epochs > 0
    )
    if numbers is not None:
        query = query.where(trials.c.number.in_(numbers))
    if after is not None:
        query = query.where(trials.c.number > after)
    query = query.order_by(trials.c.number).limit(limit)
    return [(number, n_epochs) for number, n_epochs in tx.execute(query)]


def completed_between(
    tx: Transaction, study_id: int, after: int, upto: int
) -> list[tuple[int, list[float]]]:
    """Return number and objective values of what became COMPLETE in ``after < revision <= upto``.

    A COMPLETE trial's row is never written again.
    """
    joined = trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id).join(
        optuna_values, optuna_values.c.trial_id == trials.c.trial_id
    )
    query = (
        select(trials.c.number, optuna_values.c.value, optuna_values.c.value_type)
        .select_from(joined)
        .where(
            trials.c.study_id == study_id,
            trials.c.revision > after,
            trials.c.revision <= upto,
            optuna_trials.c.state == OptunaState.COMPLETE,
        )
        .order_by(trials.c.number, optuna_values.c.objective)
    )
    found: dict[int, list[float]] = {}
    for number, value, kind in tx.execute(query):
        found.setdefault(number, []).append(TrialValueModel.stored_repr_to_value(value, kind))
    return list(found.items())


def _fetch(tx: Transaction, query: Select[Any]) -> list[TrialStamp]:
    return [
        TrialStamp(number, revision, TrialState[state.name])
        for number, revision, state in tx.execute(query)
    ]
