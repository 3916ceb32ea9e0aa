"""What changed in a study after a revision: every verb stamps the rows it writes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from optuna.trial import TrialState as OptunaState
from sqlalchemy import func, select

from hpsearch.spec.states import StudyState
from hpsearch.spec.views import EpochView
from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import attempts, epochs, optuna_trials, studies, trials
from hpsearch.storage.trials import CHUNK, TrialRecord, fetch, select_trials


@dataclass(frozen=True, slots=True)
class StudyStamp:
    """How far a study has come, without anything else about it."""

    study_id: int
    uuid: str
    name: str
    revision: int
    state: StudyState
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Start:
    """The last attempt at a trial: who trains it."""

    attempt: int
    worker: str


def stamps(tx: Transaction, *, name: str | None = None) -> list[StudyStamp]:
    """Return the stamp of the study of this name, or of all studies, oldest first."""
    columns = studies.c
    query = select(
        columns.study_id,
        columns.uuid,
        columns.name,
        columns.revision,
        columns.state,
        columns.updated_at,
    ).order_by(columns.study_id)
    if name is not None:
        query = query.where(columns.name == name)
    return [
        StudyStamp(study_id, uuid, study, revision, StudyState(state), updated_at)
        for study_id, uuid, study, revision, state, updated_at in tx.execute(query)
    ]


def end_of_chunk(tx: Transaction, study_id: int, after: int, last: int, most: int) -> int:
    """Return the revision up to which at most about ``most`` rows were stamped after ``after``.

    A revision is never cut in two, so one that stamped more makes a larger chunk.

    Args:
        tx: An open transaction.
        study_id: Whose rows.
        after: The revision before the chunk.
        last: The study's revision, returned if there are not so many rows.
        most: Rows wanted.
    """
    end = last
    for table in (epochs, trials):
        query = (
            select(table.c.revision)
            .where(table.c.study_id == study_id, table.c.revision > after)
            .order_by(table.c.revision)
            .offset(most)
            .limit(1)
        )
        first_left_out = tx.execute(query).scalar()
        if first_left_out is not None:
            end = min(end, max(after + 1, first_left_out - 1))
    return end


def epochs_between(
    tx: Transaction, study_id: int, after: int, upto: int
) -> list[tuple[int, EpochView]]:
    """Return revision and epoch of what was measured in ``after < revision <= upto``, in order."""
    joined = epochs.join(trials, epochs.c.trial_id == trials.c.trial_id)
    query = (
        select(epochs.c.revision, trials.c.number, epochs.c.epoch, epochs.c.metrics)
        .select_from(joined)
        .where(
            epochs.c.study_id == study_id,
            epochs.c.revision > after,
            epochs.c.revision <= upto,
        )
        .order_by(epochs.c.revision, trials.c.number, epochs.c.epoch)
    )
    return [(revision, EpochView(*row)) for revision, *row in tx.execute(query)]


def trials_between(tx: Transaction, study_id: int, after: int, upto: int) -> list[TrialRecord]:
    """Return the trials whose stamp is in ``after < revision <= upto``, in number order."""
    query = select_trials(
        trials.c.study_id == study_id, trials.c.revision > after, trials.c.revision <= upto
    )
    return fetch(tx, query.order_by(trials.c.number))


def last_starts(tx: Transaction, trial_ids: Iterable[int]) -> dict[int, Start]:
    """Return the last attempt by trial id; trials without any are left out."""
    found: dict[int, Start] = {}
    ids = list(trial_ids)
    for i in range(0, len(ids), CHUNK):
        query = (
            select(attempts.c.trial_id, attempts.c.number, attempts.c.worker)
            .where(attempts.c.trial_id.in_(ids[i : i + CHUNK]))
            .order_by(attempts.c.number)
        )
        for trial_id, number, worker in tx.execute(query):
            found[trial_id] = Start(number, worker)
    return found


def revision_before(tx: Transaction, study_id: int, at: datetime) -> int:
    """Return a revision that was surely reached before a time: a trial finished with it then."""
    joined = trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id)
    finished = (OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.FAIL)
    query = (
        select(func.max(trials.c.revision))
        .select_from(joined)
        .where(
            trials.c.study_id == study_id,
            optuna_trials.c.state.in_(finished),
            optuna_trials.c.datetime_complete < at.replace(tzinfo=None),
        )
    )
    return tx.execute(query).scalar() or 0
