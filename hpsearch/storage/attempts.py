"""Rows of attempts: tries at training a trial, each with a lease and a fencing token."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, or_, select, update

from hpsearch.spec.states import AttemptState
from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import attempts, studies


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt as stored."""

    attempt_id: int
    study_id: int
    trial_id: int
    trial_number: int
    number: int
    claim_id: str
    token: str
    worker: str
    device: str
    precision: str
    pack_size: int
    state: AttemptState
    started_at: datetime
    lease_expires_at: datetime
    finished_at: datetime | None
    device_seconds: float


def insert_attempts(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write new RUNNING attempts; each row names every column but the measured ones."""
    fixed = {"state": AttemptState.RUNNING, "device_seconds": 0.0}
    tx.execute(insert(attempts), [{**row, **fixed} for row in rows])


def of_claim(tx: Transaction, study_id: int, claim_id: str) -> list[AttemptRecord]:
    """Return the attempts a claim made, in trial-number order."""
    where = (attempts.c.study_id == study_id, attempts.c.claim_id == claim_id)
    query = select(attempts).where(*where).order_by(attempts.c.trial_number)
    return [_record(row) for row in tx.execute(query)]


def by_tokens(tx: Transaction, study_id: int, tokens: Iterable[str]) -> dict[str, AttemptRecord]:
    """Return the study's attempts that carry these tokens."""
    where = (attempts.c.study_id == study_id, attempts.c.token.in_(list(tokens)))
    found = (_record(row) for row in tx.execute(select(attempts).where(*where)))
    return {attempt.token: attempt for attempt in found}


def of_trial(tx: Transaction, trial_id: int) -> list[AttemptRecord]:
    """Return the attempts of one trial in order."""
    query = select(attempts).where(attempts.c.trial_id == trial_id).order_by(attempts.c.number)
    return [_record(row) for row in tx.execute(query)]


def of_study(tx: Transaction, study_id: int) -> list[AttemptRecord]:
    """Return every attempt of the study in the order they began."""
    query = select(attempts).where(attempts.c.study_id == study_id)
    return [_record(row) for row in tx.execute(query.order_by(attempts.c.attempt_id))]


def running(tx: Transaction, study_id: int) -> list[AttemptRecord]:
    """Return the study's RUNNING attempts in trial-number order."""
    where = (attempts.c.study_id == study_id, attempts.c.state == AttemptState.RUNNING)
    query = select(attempts).where(*where).order_by(attempts.c.trial_number)
    return [_record(row) for row in tx.execute(query)]


def of_worker(tx: Transaction, study_id: int, worker: str) -> list[AttemptRecord]:
    """Return the study's RUNNING attempts on this worker in trial-number order."""
    # filtered here: a planner without statistics would walk through all the worker ever tried
    return [attempt for attempt in running(tx, study_id) if attempt.worker == worker]


def count_packs(tx: Transaction, study_id: int, workers: Iterable[str]) -> None:
    """Write on the RUNNING attempts of these workers how many there are on each."""
    for worker in sorted(set(workers)):
        where = (
            attempts.c.study_id == study_id,
            attempts.c.state == AttemptState.RUNNING,
            attempts.c.worker == worker,
        )
        n = tx.execute(select(func.count()).select_from(attempts).where(*where)).scalar_one()
        tx.execute(update(attempts).where(*where).values(pack_size=n))


def studies_to_recover(
    tx: Transaction,
    *,
    expired_at: datetime | None = None,
    lasting_until: datetime | None = None,
    worker: str | None = None,
) -> list[str]:
    """Return uuids of studies with RUNNING attempts.

    Args:
        tx: An open transaction.
        expired_at: Whose lease had run out by then.
        lasting_until: Whose lease lasts longer.
        worker: Of this worker.
    """
    query = (
        select(studies.c.uuid)
        .distinct()
        .join(attempts, attempts.c.study_id == studies.c.study_id)
        .where(attempts.c.state == AttemptState.RUNNING)
    )
    if expired_at is not None:
        query = query.where(attempts.c.lease_expires_at < expired_at)
    if lasting_until is not None:
        query = query.where(attempts.c.lease_expires_at > lasting_until)
    if worker is not None:
        query = query.where(attempts.c.worker == worker)
    return list(tx.execute(query).scalars())


def renew(
    tx: Transaction, tokens: Sequence[str], until: datetime, claim_id: str | None = None
) -> int:
    """Extend the leases of RUNNING attempts, also those of a claim; return how many still run."""
    if not tokens and claim_id is None:
        return 0
    mine = or_(attempts.c.token.in_(list(tokens)), attempts.c.claim_id == (claim_id or ""))
    where = (mine, attempts.c.state == AttemptState.RUNNING)
    return tx.execute(update(attempts).where(*where).values(lease_expires_at=until)).rowcount


def record_usage(
    tx: Transaction, device_seconds: Mapping[str, float], lease_expires_at: datetime
) -> None:
    """Write cumulative device-seconds by token and extend those leases."""
    if not device_seconds:
        return
    tx.execute(
        update(attempts)
        .where(attempts.c.token == bindparam("b_token"))
        .values(device_seconds=bindparam("b_seconds"), lease_expires_at=lease_expires_at),
        [{"b_token": token, "b_seconds": s} for token, s in device_seconds.items()],
    )


def close(tx: Transaction, tokens: Iterable[str], state: AttemptState, at: datetime) -> None:
    """End attempts."""
    listed = list(tokens)
    if listed:
        where = attempts.c.token.in_(listed)
        tx.execute(update(attempts).where(where).values(state=state, finished_at=at))


def _record(row: Row[Any]) -> AttemptRecord:
    fields = dict(row._mapping)
    return AttemptRecord(**{**fields, "state": AttemptState(fields["state"])})
