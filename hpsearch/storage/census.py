"""Sums over everything in the database, for whoever keeps an eye on the service."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select

from hpsearch.spec.states import StudyState, TrialState
from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import optuna_trials, studies, trials, workers


@dataclass(frozen=True, slots=True)
class Census:
    """What there is.

    Attributes:
        studies: How many, by state.
        trials: How many, by state.
        device_seconds: Of all studies that are there.
        workers: How many were heard of lately, by kind of device and whether they train.
    """

    studies: dict[StudyState, int]
    trials: dict[TrialState, int]
    device_seconds: float
    workers: dict[tuple[str, bool], int]


def take_census(tx: Transaction, since: datetime) -> Census:
    """Return the sums as of this transaction.

    Args:
        tx: An open transaction.
        since: Workers last seen before are taken for dead.
    """
    of_studies = select(studies.c.state, func.count()).group_by(studies.c.state)
    joined = trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id)
    of_trials = select(optuna_trials.c.state, func.count()).select_from(joined)
    is_busy = case((workers.c.study_uuid.is_not(None), 1), else_=0)
    of_workers = select(workers.c.device, is_busy, func.count()).where(
        workers.c.last_seen_at >= since
    )
    alive: dict[tuple[str, bool], int] = {}
    for device, busy, n in tx.execute(of_workers.group_by(workers.c.device, is_busy)):
        key = device.partition(":")[0], bool(busy)
        alive[key] = alive.get(key, 0) + n
    known_studies = {StudyState(state): n for state, n in tx.execute(of_studies)}
    known_trials = {
        TrialState[state.name]: n
        for state, n in tx.execute(of_trials.group_by(optuna_trials.c.state))
    }
    seconds = tx.execute(select(func.sum(studies.c.device_seconds))).scalar()
    return Census(
        studies={state: known_studies.get(state, 0) for state in StudyState},
        trials={state: known_trials.get(state, 0) for state in TrialState},
        device_seconds=float(seconds or 0.0),
        workers=alive,
    )
