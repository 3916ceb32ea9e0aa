"""Cut the running trials of a study."""

from hpsearch.spec.states import AttemptState, FailureKind, TrialState
from hpsearch.storage import attempts, studies, trials
from hpsearch.storage.database import Transaction, now
from hpsearch.storage.studies import StudyRecord


def cancel_running(tx: Transaction, study: StudyRecord, message: str) -> None:
    """End what a locked study is training: FAIL as ``cancelled``, not counted, fenced."""
    running = {attempt.trial_number: attempt for attempt in attempts.running(tx, study.study_id)}
    if not running:
        return
    at, revision = now(tx), studies.raise_revision(tx, study)
    attempts.close(tx, [a.token for a in running.values()], AttemptState.CANCELLED, at)
    records = trials.by_numbers(tx, study.study_id, running)
    trials.set_states(tx, {record.trial_id: TrialState.FAIL for record in records}, at=at)
    for record in records:
        started_at = running[record.number].started_at
        trials.update_trial(
            tx,
            record.trial_id,
            revision=revision,
            failure_kind=FailureKind.CANCELLED,
            failure_message=message,
            running_s=record.running_s + (at - started_at).total_seconds(),
        )
