"""What every verb does last: see whether the study has reached one of its ends."""

from dataclasses import dataclass
from datetime import datetime

from hpsearch.spec.states import StateReason, StudyState
from hpsearch.storage import studies, tallies
from hpsearch.storage.database import Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialCountsRecord
from hpsearch.studies.exhaustion import points_left

_FINAL = {
    StateReason.USER: StudyState.STOPPED,
    StateReason.MAX_FAILED_TRIALS: StudyState.FAILED,
    StateReason.DATASET: StudyState.FAILED,
    StateReason.PREFLIGHT: StudyState.FAILED,
    StateReason.INTERNAL: StudyState.FAILED,
}


@dataclass(frozen=True, slots=True)
class Claimable:
    """How many trials a claim may start: waiting ones first, then new ones.

    Attributes:
        waiting: WAITING trials that may run again.
        new: New numbers that may be issued.
        total: At most this many together, after the limit on concurrent trials.
    """

    waiting: int
    new: int
    total: int


def claimable(study: StudyRecord, counts: TrialCountsRecord) -> Claimable:
    """Return what the limits leave, from counts read under the study's lock.

    Args:
        study: The study as it is under the lock.
        counts: Its trials by state; STOPPING runs only those that have begun.
    """
    limits = study.limits
    left = 1_000_000  # as good as no limit
    if limits["max_trials"] is not None:
        left = limits["max_trials"] - counts.counted - counts.running
    if study.state is StudyState.ACTIVE:
        n_waiting, n_new = counts.waiting, max(0, left - counts.waiting)
        n_points = points_left(study)
        n_new = n_new if n_points is None else min(n_new, n_points)
    elif study.state is StudyState.STOPPING:
        n_waiting, n_new = counts.waiting_begun, 0
    else:
        return Claimable(0, 0, 0)
    concurrent = limits["max_concurrent_trials"]
    if concurrent is not None:
        left = min(left, concurrent - counts.running)
    total = max(0, min(left, n_waiting + n_new))
    return Claimable(waiting=n_waiting, new=n_new, total=total)


def n_too_many(study: StudyRecord, counts: TrialCountsRecord) -> int:
    """Return how many running trials a limit that was lowered no longer allows."""
    limits = study.limits
    most = [counts.running]
    if limits["max_trials"] is not None:
        most.append(limits["max_trials"] - counts.counted)
    if limits["max_concurrent_trials"] is not None:
        most.append(limits["max_concurrent_trials"])
    return counts.running - max(0, min(most))


def settle(
    tx: Transaction, study: StudyRecord, *, reason: StateReason | None = None
) -> StudyRecord:
    """Move a locked study on if a limit has struck or its last trial has ended.

    Idempotent; raises the revision if anything changes.

    Args:
        tx: The verb's transaction.
        study: The study as it was when locked; read again here.
        reason: An end the caller has found itself (a target reached).
    """
    current = studies.find_study(tx, study.uuid)
    if current is None:
        return study
    return settle_counted(tx, current, tallies.count(tx, current), now(tx), reason=reason)


def settle_counted(
    tx: Transaction,
    study: StudyRecord,
    counts: TrialCountsRecord,
    at: datetime,
    *,
    reason: StateReason | None = None,
) -> StudyRecord:
    """Do as :func:`settle` with what has been read already.

    Args:
        tx: The verb's transaction.
        study: The study as it is now.
        counts: Its trials by state, as they are now.
        at: The time now.
        reason: An end the caller has found itself.
    """
    if counts.n_recent >= tallies.FOLD_AFTER:
        tallies.fold(tx, study)
    if study.state not in studies.LIVE_STATES:
        return study
    if study.state is StudyState.ACTIVE:
        reason = limit_that_struck(study, counts, at) or reason
        if reason is None:
            return study
        study = leave_active(tx, study, StudyState.STOPPING, reason, at)
    if counts.running == 0 and claimable(study, counts).total == 0:
        final = _FINAL.get(
            StateReason(study.state_reason or StateReason.INTERNAL), StudyState.COMPLETED
        )
        studies.update_study(tx, study, state=final, finished_at=at)
        studies.raise_revision(tx, study)
    return studies.find_study(tx, study.uuid) or study


def is_due(tx: Transaction, study: StudyRecord) -> bool:
    """Return whether :func:`settle` would move a study on; needs no lock, so it may be late."""
    counts = tallies.count(tx, study)
    if study.state is StudyState.ACTIVE:
        return limit_that_struck(study, counts, now(tx)) is not None
    return counts.running == 0 and claimable(study, counts).total == 0


def leave_active(
    tx: Transaction,
    study: StudyRecord,
    state: StudyState,
    reason: StateReason | None,
    at: datetime,
) -> StudyRecord:
    """Give a locked study another state than ACTIVE, its active time added up."""
    studies.update_study(
        tx,
        study,
        state=state,
        state_reason=reason,
        active_s=study.active_seconds(at),
        active_since=None,
    )
    studies.raise_revision(tx, study)
    return studies.find_study(tx, study.uuid) or study


def limit_that_struck(
    study: StudyRecord, counts: TrialCountsRecord, at: datetime
) -> StateReason | None:
    """Return which limit ends the study now, None if it may go on."""
    limits = study.limits
    timeout_s, budget_s = limits["timeout_s"], limits["device_seconds"]
    if limits["max_trials"] is not None and counts.counted >= limits["max_trials"]:
        return StateReason.MAX_TRIALS
    if (
        limits["max_failed_trials"] is not None
        and counts.counted_fail >= limits["max_failed_trials"]
    ):
        return StateReason.MAX_FAILED_TRIALS
    if timeout_s is not None and study.active_seconds(at) >= timeout_s:
        return StateReason.TIMEOUT
    if budget_s is not None and study.device_seconds >= budget_s:
        return StateReason.DEVICE_BUDGET
    # points somebody has asked for and nobody has started come first
    if points_left(study) == 0 and counts.waiting == counts.waiting_begun:
        return StateReason.SEARCH_SPACE_EXHAUSTED
    return None
