"""Give trials back: politely, or because their worker is gone. One trial, N attempts.

A death puts suspicion on all that trained together, not guilt: they come back as suspects, who
run in groups of half the size, among themselves, until they pass the epoch they had reached.
Only a death alone costs an attempt. So one trial that kills its worker is found by halving, and
its neighbours pay nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hpsearch.faults import Window, reached
from hpsearch.spec.states import AttemptState, FailureKind, TrialState
from hpsearch.storage import attempts, owners, studies, trials, workers
from hpsearch.storage.attempts import AttemptRecord
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialRecord
from hpsearch.studies.judged import forget_future
from hpsearch.studies.settle import settle


@dataclass(frozen=True, slots=True)
class HandBack:
    """A lane that leaves unfinished, with a checkpoint if it has one.

    Attributes:
        number: The trial.
        token: Of the attempt that trained it.
        device_seconds: Of this attempt, cumulative.
        checkpoint: ``{"path", "epoch"}`` of a durable file, or None to keep the one recorded.
    """

    number: int
    token: str
    device_seconds: float
    checkpoint: Mapping[str, Any] | None = None


def hand_back(
    database: Database, uuid: str, lanes: Sequence[HandBack], claim_id: str | None = None
) -> list[int]:
    """Put trials back to WAITING; it costs them no attempt. Lanes already fenced are ignored.

    Args:
        database: Where the study lives.
        uuid: The study.
        lanes: What leaves.
        claim_id: A claim whose answer was lost: what it may have leased goes back too.

    Returns:
        The numbers of the trials whose checkpoint is recorded now. One of epochs that are not
        recorded themselves is passed over: going on from there would leave a hole.
    """
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is None or not (lanes or claim_id):
            return []
        of_claim = attempts.of_claim(tx, study.study_id, claim_id) if claim_id else []
        held = {lane.token for lane in lanes}
        unheard = [
            HandBack(attempt.trial_number, attempt.token, attempt.device_seconds)
            for attempt in of_claim
            if attempt.token not in held
        ]
        lanes = [*lanes, *unheard]
        known = attempts.by_tokens(tx, study.study_id, [lane.token for lane in lanes])
        live = {
            known[lane.token].trial_id: lane
            for lane in lanes
            if lane.token in known and known[lane.token].state is AttemptState.RUNNING
        }
        if not live:
            return []
        at, revision = now(tx), studies.raise_revision(tx, study)
        records = trials.by_numbers(tx, study.study_id, [lane.number for lane in live.values()])
        used_s, saved = 0.0, []
        for record in records:
            lane = live[record.trial_id]
            attempt = known[lane.token]
            used_s += _record_usage(tx, study, record, attempt, lane.device_seconds)
            checkpoint: Mapping[str, Any] | None = record.checkpoint
            if _is_usable(record, lane.checkpoint):
                checkpoint = lane.checkpoint
                saved.append(record.number)
            _requeue(tx, study, record, attempt, AttemptState.PREEMPTED, checkpoint, revision, at)
        callers = {known[lane.token].worker for lane in live.values()}
        attempts.count_packs(tx, study.study_id, callers)
        settle(tx, study)
        owners.charge(tx, study.owner, used_s)
        reached(Window.HAND_BACK_UNCOMMITTED)
    reached(Window.HAND_BACK_COMMITTED)
    return saved


def record_checkpoints(
    database: Database, uuid: str, checkpoints: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Record durable checkpoint files by token; return the tokens whose file is recorded now.

    Files of ended attempts are ignored, older ones, and those of epochs not recorded yet: going
    on from there would leave a hole in the curve.
    """
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is None:
            return []
        known = attempts.by_tokens(tx, study.study_id, checkpoints)
        live = {a.trial_number: a for a in known.values() if a.state is AttemptState.RUNNING}
        recorded = []
        for record in trials.by_numbers(tx, study.study_id, live):
            token = live[record.number].token
            if _is_usable(record, checkpoints[token]):
                checkpoint = dict(checkpoints[token])
                trials.update_trial(tx, record.trial_id, checkpoint=checkpoint)
                recorded.append(token)
        return recorded


def start_over(database: Database, uuid: str, token: str) -> None:
    """Forget every epoch of a running trial: its checkpoint is lost, so it begins anew."""
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is None:
            return
        attempt = attempts.by_tokens(tx, study.study_id, [token]).get(token)
        if attempt is None or attempt.state is not AttemptState.RUNNING:
            return
        revision = studies.raise_revision(tx, study)
        (record,) = trials.by_numbers(tx, study.study_id, [attempt.trial_number])
        forget_future(tx, study, record, 0)
        trials.update_trial(tx, record.trial_id, revision=revision, epochs=0, checkpoint=None)


def _is_usable(record: TrialRecord, checkpoint: Mapping[str, Any] | None) -> bool:
    if checkpoint is None or checkpoint["epoch"] > record.epochs:
        return False
    return record.checkpoint is None or checkpoint["epoch"] >= record.checkpoint["epoch"]


def renew_leases(
    database: Database,
    uuid: str,
    tokens: Sequence[str],
    lease_s: float,
    claim_id: str | None = None,
) -> int:
    """Extend the leases of attempts that still run, from now; return how many do.

    Under the study's lock like every writing verb: rows locked in another order than a
    report's would be a deadlock.

    Args:
        database: Where the study lives.
        uuid: The study.
        tokens: Of the attempts.
        lease_s: New life of the leases.
        claim_id: A claim under way, whose trials are being sampled.
    """
    with database.write() as tx:
        if studies.lock_by_uuid(tx, uuid) is None:
            return 0
        until = now(tx) + timedelta(seconds=lease_s)
        return attempts.renew(tx, tokens, until, claim_id)


def expire_leases(database: Database) -> int:
    """Take trials back whose leases have run out; return how many."""
    with database.read() as tx:
        uuids = attempts.studies_to_recover(tx, expired_at=now(tx))
    return sum(_take_back(database, uuid, worker=None) for uuid in uuids)


def set_leases_back(database: Database, by_s: float) -> int:
    """Move leases along with a clock that was set back; return how many were moved.

    Else those of the dead would live on for as long. What was renewed since then stays.
    """
    with database.read() as tx:
        uuids = attempts.studies_to_recover(
            tx, lasting_until=now(tx) + timedelta(seconds=by_s / 2)
        )
    n_moved = 0
    for uuid in uuids:
        with database.write() as tx:
            study = studies.lock_by_uuid(tx, uuid)
            if study is None:
                continue
            limit = now(tx) + timedelta(seconds=by_s / 2)
            for attempt in attempts.running(tx, study.study_id):
                if attempt.lease_expires_at > limit:
                    until = attempt.lease_expires_at - timedelta(seconds=by_s)
                    n_moved += attempts.renew(tx, [attempt.token], until)
    return n_moved


def worker_lost(database: Database, worker: str) -> int:
    """Take back at once what a worker known to be dead was training; return how many."""
    with database.read() as tx:
        uuids = attempts.studies_to_recover(tx, worker=worker)
    n_taken = sum(_take_back(database, uuid, worker=worker) for uuid in uuids)
    with database.write() as tx:
        workers.forget(tx, name=worker)
    return n_taken


def _take_back(database: Database, uuid: str, *, worker: str | None) -> int:
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is None:
            return 0
        at = now(tx)
        lost = {
            attempt.trial_number: attempt
            for attempt in attempts.running(tx, study.study_id)
            if (attempt.worker == worker if worker else attempt.lease_expires_at < at)
        }
        if not lost:
            return 0
        revision = studies.raise_revision(tx, study)
        max_attempts: int = study.limits["max_attempts"]
        for record in trials.by_numbers(tx, study.study_id, lost):
            attempt = lost[record.number]
            n_losses = record.n_losses + (attempt.pack_size == 1)
            if n_losses >= max_attempts:
                _give_up(tx, record, attempt, max_attempts, revision, at)
                continue
            trials.update_trial(
                tx,
                record.trial_id,
                n_losses=n_losses,
                pack_limit=max(1, attempt.pack_size // 2),
                cleared_after=max(record.epochs, record.cleared_after),
            )
            _requeue(
                tx, study, record, attempt, AttemptState.LOST, record.checkpoint, revision, at
            )
        settle(tx, study)
        return len(lost)


def _requeue(
    tx: Transaction,
    study: StudyRecord,
    record: TrialRecord,
    attempt: AttemptRecord,
    outcome: AttemptState,
    checkpoint: Mapping[str, Any] | None,
    revision: int,
    at: datetime,
) -> None:
    """Close the attempt and make the trial WAITING, its own future forgotten."""
    epoch = checkpoint["epoch"] if checkpoint else 0
    attempts.close(tx, [attempt.token], outcome, at)
    forget_future(tx, study, record, epoch)
    trials.set_states(tx, {record.trial_id: TrialState.WAITING}, at=at)
    trials.update_trial(
        tx,
        record.trial_id,
        revision=revision,
        epochs=min(record.epochs, epoch),
        checkpoint=None if checkpoint is None else dict(checkpoint),
        running_s=record.running_s + (at - attempt.started_at).total_seconds(),
    )


def _give_up(
    tx: Transaction,
    record: TrialRecord,
    attempt: AttemptRecord,
    max_attempts: int,
    revision: int,
    at: datetime,
) -> None:
    attempts.close(tx, [attempt.token], AttemptState.LOST, at)
    trials.set_states(tx, {record.trial_id: TrialState.FAIL}, at=at)
    trials.update_trial(
        tx,
        record.trial_id,
        revision=revision,
        is_counted=True,
        n_losses=record.n_losses + 1,
        failure_kind=FailureKind.WORKER_LOST,
        failure_message=f"its worker died {max_attempts} times while it ran alone",
        running_s=record.running_s + (at - attempt.started_at).total_seconds(),
    )


def _record_usage(
    tx: Transaction,
    study: StudyRecord,
    record: TrialRecord,
    attempt: AttemptRecord,
    device_seconds: float,
) -> float:
    delta = max(0.0, device_seconds - attempt.device_seconds)
    attempts.update_attempts(tx, {attempt.token: {"device_seconds": device_seconds}})
    trials.update_trial(tx, record.trial_id, device_seconds=record.device_seconds + delta)
    studies.add_usage(tx, study, delta, study.definition["weight"])
    return delta
