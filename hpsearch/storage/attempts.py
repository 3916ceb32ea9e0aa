"""Rows of attempts: tries at training a trial, each with a lease and a fencing token."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from optuna.trial import TrialState as OptunaState
from sqlalchemy import (
    ColumnElement,
    Interval,
    Row,
    Select,
    bindparam,
    func,
    or_,
    select,
    update,
)

from hpsearch.spec.states import AttemptState
from hpsearch.spec.views import Pruned
from hpsearch.storage import bulk
from hpsearch.storage.database import CLOCK, Transaction, now
from hpsearch.storage.tables import attempts, optuna_trials, studies, trials, workers
from hpsearch.storage.types import UtcDateTime


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
    bulk.insert_rows(tx, attempts, [{**row, **fixed} for row in rows])


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """One attempt and what a report needs to know of its trial.

    Attributes:
        token: The attempt's.
        state: The attempt's.
        worker: Who trains it.
        started_at: When the attempt began.
        attempt_s: Device-seconds of this attempt.
        trial_id: Optuna's id of the trial.
        number: The trial's number.
        epochs: The last epoch recorded.
        n_parameters: Trainable weights, None before the first report.
        device_seconds: Of all attempts.
        running_s: Seconds RUNNING in earlier attempts.
        pack_limit: See the trial's record.
        cleared_after: See the trial's record.
        is_asked_to_stop: Whether the trial ends at its next epoch.
        is_pruned: Whether the trial is PRUNED.
        pruned: Why, if it is.
    """

    token: str
    state: AttemptState
    worker: str
    started_at: datetime
    attempt_s: float
    trial_id: int
    number: int
    epochs: int
    n_parameters: int | None
    device_seconds: float
    running_s: float
    pack_limit: int | None
    cleared_after: int
    is_asked_to_stop: bool
    is_pruned: bool
    pruned: Pruned | None


_of_study = attempts.c.study_id + 0
"""The study where another column finds the rows: no index has it, for SQLite, which keeps no
statistics, would take the study's and walk through all its attempts."""

_LANES = (
    select(
        attempts.c.token,
        attempts.c.state,
        attempts.c.worker,
        attempts.c.started_at,
        attempts.c.device_seconds,
        trials.c.trial_id,
        trials.c.number,
        trials.c.epochs,
        trials.c.n_parameters,
        trials.c.device_seconds,
        trials.c.running_s,
        trials.c.pack_limit,
        trials.c.cleared_after,
        trials.c.is_asked_to_stop,
        optuna_trials.c.state,
        trials.c.pruned,
    )
    .select_from(
        attempts.join(trials, trials.c.trial_id == attempts.c.trial_id).join(
            optuna_trials, optuna_trials.c.trial_id == attempts.c.trial_id
        )
    )
    .where(
        _of_study == bindparam("study_id"),
        attempts.c.token.in_(bindparam("tokens", expanding=True)),
    )
    .order_by(attempts.c.trial_number)
)


_LANES_AND_CLOCK = _LANES.add_columns(CLOCK)


def lanes(
    tx: Transaction, study_id: int, tokens: Iterable[str]
) -> tuple[list[LaneRecord], datetime]:
    """Return the attempts that carry these tokens, in number order, and the database's clock."""
    query = _LANES if tx.dialect.name == "sqlite" else _LANES_AND_CLOCK
    rows = tx.execute(query, {"study_id": study_id, "tokens": list(tokens)}).all()
    records = []
    for row in rows:
        values = list(row[:16])
        values[1] = AttemptState(row[1])
        values[14] = row[14] is OptunaState.PRUNED
        values[15] = None if row[15] is None else Pruned(**row[15])
        records.append(LaneRecord(*values))
    at = rows[-1][16].replace(tzinfo=UTC) if rows and query is _LANES_AND_CLOCK else now(tx)
    return records, at


def of_claim(tx: Transaction, study_id: int, claim_id: str) -> list[AttemptRecord]:
    """Return the attempts a claim made, in trial-number order."""
    where = (_of_study == study_id, attempts.c.claim_id == claim_id)
    query = select(attempts).where(*where).order_by(attempts.c.trial_number)
    return [_record(row) for row in tx.execute(query)]


@dataclass(frozen=True, slots=True)
class BeforeClaim:
    """What a claim wants to know first.

    Attributes:
        is_known: Whether it was made before.
        n_idle: How many other workers were seen lately and train nothing.
        at: The database's clock.
    """

    is_known: bool
    n_idle: int
    at: datetime


def _before_claim(since: ColumnElement[datetime]) -> Select[Any]:
    is_known = select(attempts.c.attempt_id).where(
        attempts.c.claim_id == bindparam("claim_id"),
        _of_study == bindparam("study_id"),
    )
    n_idle = (
        select(func.count())
        .select_from(workers)
        .where(
            workers.c.last_seen_at >= since,
            workers.c.study_uuid.is_(None),
            workers.c.name != bindparam("worker"),
        )
    )
    return select(is_known.exists(), n_idle.scalar_subquery())


_BEFORE_CLAIM = _before_claim(bindparam("since", type_=UtcDateTime))
_BEFORE_CLAIM_BY_CLOCK = _before_claim(
    CLOCK - bindparam("idle_within", type_=Interval)
).add_columns(CLOCK)


def before_claim(
    tx: Transaction, study_id: int, claim_id: str, worker: str, *, idle_within: timedelta
) -> BeforeClaim:
    """Return what a claim wants to know of a locked study first.

    Args:
        tx: An open transaction that holds the study's lock.
        study_id: The study.
        claim_id: The claim.
        worker: Who claims.
        idle_within: A worker not seen for longer is not counted as idle.
    """
    params = {"claim_id": claim_id, "study_id": study_id, "worker": worker}
    if tx.dialect.name == "sqlite":
        at = now(tx)
        row = tx.execute(_BEFORE_CLAIM, {**params, "since": at - idle_within}).one()
        return BeforeClaim(row[0], row[1], at)
    row = tx.execute(_BEFORE_CLAIM_BY_CLOCK, {**params, "idle_within": idle_within}).one()
    return BeforeClaim(row[0], row[1], row[2].replace(tzinfo=UTC))


_PACK_LIMITS = (
    select(attempts.c.worker, trials.c.pack_limit)
    .select_from(attempts.join(trials, trials.c.trial_id == attempts.c.trial_id))
    .where(
        attempts.c.study_id == bindparam("study_id"),
        attempts.c.state == AttemptState.RUNNING,
    )
)


def pack_limits(tx: Transaction, study_id: int, worker: str) -> list[int | None]:
    """Return the pack limit of every trial of the study that this worker has."""
    rows = tx.execute(_PACK_LIMITS, {"study_id": study_id})
    # filtered here: a planner without statistics would walk through all the worker ever tried
    return [pack_limit for holder, pack_limit in rows if holder == worker]


_WITHOUT_PARAMS = (
    select(attempts.c.trial_number)
    .select_from(attempts.join(trials, trials.c.trial_id == attempts.c.trial_id))
    .where(
        attempts.c.study_id == bindparam("study_id"),
        attempts.c.token.in_(bindparam("tokens", expanding=True)),
        attempts.c.state == AttemptState.RUNNING,
        trials.c.has_params.is_(False),
    )
)


def without_params(tx: Transaction, study_id: int, tokens: Sequence[str]) -> set[int]:
    """Return the numbers of the trials that wait for parameters under these living tokens."""
    found = tx.execute(_WITHOUT_PARAMS, {"study_id": study_id, "tokens": tokens})
    return set(found.scalars())


def by_tokens(tx: Transaction, study_id: int, tokens: Iterable[str]) -> dict[str, AttemptRecord]:
    """Return the study's attempts that carry these tokens."""
    where = (_of_study == study_id, attempts.c.token.in_(list(tokens)))
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


_companions = attempts.alias("companions")
_COUNT_PACK = (
    update(attempts)
    .where(
        attempts.c.study_id == bindparam("b_study_id"),
        attempts.c.state == AttemptState.RUNNING,
        attempts.c.worker == bindparam("b_worker"),
    )
    .values(
        pack_size=select(func.count())
        .select_from(_companions)
        .where(
            _companions.c.study_id == bindparam("b_study_id"),
            _companions.c.state == AttemptState.RUNNING,
            _companions.c.worker == bindparam("b_worker"),
        )
        .scalar_subquery()
    )
)


def count_packs(tx: Transaction, study_id: int, workers: Iterable[str]) -> None:
    """Write on the RUNNING attempts of these workers how many there are on each."""
    for worker in sorted(set(workers)):
        tx.execute(_COUNT_PACK, {"b_study_id": study_id, "b_worker": worker})


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


def update_attempts(tx: Transaction, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the same columns of many attempts of a locked study, by token, in bulk."""
    bulk.update_rows(
        tx, attempts, "token", [{"token": token, **row} for token, row in changes.items()]
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
