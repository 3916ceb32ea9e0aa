"""Rows of workers: who trains, on what, and when they were last seen."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import workers

HEARTBEAT_S = 10.0  # how often a worker says that it is there, idle or training
ALIVE_FOR = timedelta(minutes=1)
"""A worker heard of within this time counts as alive, whoever asks.

Six heartbeats, for a worker says nothing while it reads data and while the preflight runs, which
may take half a minute. One that ends, or whose supervisor sees it die, is struck off the list at
once, so this is how late the end of a whole machine is noticed.
"""


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """One worker as stored; ``study_uuid`` is what it trains now, None when idle."""

    name: str
    device: str
    study_uuid: str | None
    n_lanes: int
    started_at: datetime
    last_seen_at: datetime


def touch(
    tx: Transaction, name: str, device: str, study_uuid: str | None, n_lanes: int, at: datetime
) -> None:
    """Record that a worker is alive and what it does."""
    seen = {"study_uuid": study_uuid, "n_lanes": n_lanes, "last_seen_at": at, "device": device}
    if tx.execute(update(workers).where(workers.c.name == name).values(**seen)).rowcount == 0:
        tx.execute(insert(workers).values(name=name, started_at=at, **seen))


def forget(tx: Transaction, *, name: str | None = None, before: datetime | None = None) -> None:
    """Delete one worker, or those last seen before a time."""
    if name is not None:
        tx.execute(delete(workers).where(workers.c.name == name))
    if before is not None:
        tx.execute(delete(workers).where(workers.c.last_seen_at < before))


def list_workers(tx: Transaction, since: datetime | None = None) -> list[WorkerRecord]:
    """Return workers by name, only those seen since a time if one is given."""
    query = select(workers).order_by(workers.c.name)
    if since is not None:
        query = query.where(workers.c.last_seen_at >= since)
    return [WorkerRecord(**row._mapping) for row in tx.execute(query)]


def n_idle(tx: Transaction, since: datetime, *, but: str) -> int:
    """Return how many other workers were seen since then and train nothing."""
    where = (
        workers.c.last_seen_at >= since,
        workers.c.study_uuid.is_(None),
        workers.c.name != but,
    )
    return tx.execute(select(func.count()).select_from(workers).where(*where)).scalar_one()
