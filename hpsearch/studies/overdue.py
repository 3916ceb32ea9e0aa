"""Fail trials that have been RUNNING too long, also those that give no sign of life."""

from datetime import datetime

from hpsearch.spec.states import AttemptState, FailureKind, TrialState
from hpsearch.storage import attempts, studies, trials
from hpsearch.storage.attempts import AttemptRecord
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialRecord
from hpsearch.studies.settle import settle

MESSAGE = "the trial ran longer than limits.trial_timeout_s"


def is_overdue(study: StudyRecord, running_s: float, started_at: datetime, at: datetime) -> bool:
    """Return whether a running trial has used up its time, over all its attempts.

    Args:
        study: The study.
        running_s: How long its earlier attempts ran.
        started_at: When the last one began.
        at: The time now.
    """
    limit_s: float | None = study.limits["trial_timeout_s"]
    if limit_s is None:
        return False
    return running_s + (at - started_at).total_seconds() > limit_s


def fail_overdue(database: Database) -> int:
    """End running trials whose time is over as FAIL ``timeout``; return how many.

    Their workers are fenced from this moment. Most trials are ended by their own report; this
    is for those that hang within an epoch.
    """
    with database.read() as tx:
        live = studies.list_studies(tx, states=studies.LIVE_STATES)
        limited = [study for study in live if study.limits["trial_timeout_s"] is not None]
        uuids = [study.uuid for study in limited if _overdue(tx, study)]
    return sum(_fail(database, uuid) for uuid in uuids)


def _overdue(tx: Transaction, study: StudyRecord) -> list[tuple[TrialRecord, AttemptRecord]]:
    at = now(tx)
    running = {attempt.trial_number: attempt for attempt in attempts.running(tx, study.study_id)}
    return [
        (trial, running[trial.number])
        for trial in trials.by_numbers(tx, study.study_id, running)
        if is_overdue(study, trial.running_s, running[trial.number].started_at, at)
    ]


def _fail(database: Database, uuid: str) -> int:
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        overdue = [] if study is None else _overdue(tx, study)
        if study is None or not overdue:
            return 0
        at, revision = now(tx), studies.raise_revision(tx, study)
        attempts.close(tx, [a.token for _, a in overdue], AttemptState.FAILED, at)
        trials.set_states(tx, {trial.trial_id: TrialState.FAIL for trial, _ in overdue}, at=at)
        for trial, attempt in overdue:
            trials.update_trial(
                tx,
                trial.trial_id,
                revision=revision,
                is_counted=True,
                failure_kind=FailureKind.TIMEOUT,
                failure_message=MESSAGE,
                running_s=trial.running_s + (at - attempt.started_at).total_seconds(),
            )
        settle(tx, study)
        return len(overdue)
