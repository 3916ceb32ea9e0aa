"""What nobody asks for and must happen all the same: expired leases, limits, the doorbell."""

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from hpsearch.errors import ServiceDown
from hpsearch.faults import Window, reached
from hpsearch.logs import get_logger
from hpsearch.storage import studies, workers
from hpsearch.storage.database import Database, now
from hpsearch.storage.locks import JANITOR, try_lock
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.next_study import most_owed, open_studies
from hpsearch.studies.overdue import fail_overdue
from hpsearch.studies.recover import expire_leases, set_leases_back
from hpsearch.studies.settle import is_due, settle
from hpsearch.studies.shares import lift_unserved
from hpsearch.studies.sweep import Sweep

log = get_logger(__name__)

FORGET_WORKERS_AFTER = timedelta(minutes=5)


class Bell(Protocol):
    """The doorbell of the queue."""

    def ring(self, n: int, study: str) -> None:
        """Enqueue ``n`` turns that name this study as a hint."""

    def waiting(self) -> int:
        """Return how many turns wait."""


@dataclass(frozen=True, slots=True)
class JanitorReport:
    """What one pass found."""

    n_expired: int
    n_rung: int


class Janitor:
    """One pass a second in every API process; one of them at a time does the work.

    Idempotent, so that no harm is done if the lock is lost in between.

    Args:
        database: Where the studies live.
        lease_s: Life of a lease: no lease is expired before the database has been reachable
            for that long without a break, because its holder may have been as cut off as we;
            nor before its clock has gone evenly for that long, because a clock that was set, or
            that went on while the machine slept, makes leases of the living look old.
        bell: Where turns are announced.
        artifacts_dir: Where checkpoints are kept; None leaves them alone.
    """

    def __init__(
        self, database: Database, lease_s: float, bell: Bell, artifacts_dir: Path | None = None
    ) -> None:
        self._database = database
        self._lease_s = lease_s
        self._bell = bell
        self._sweep = None if artifacts_dir is None else Sweep(database, artifacts_dir)
        self._reachable_since: float | None = None
        self._clock_ahead_s: float | None = None  # of the database, against our monotonic one

    def tick(self) -> JanitorReport:
        """Do everything once, unless another janitor is at it.

        Raises:
            ServiceDown: The database is away; leases have their full life again afterwards.
        """
        try:
            with try_lock(self._database, JANITOR, "janitor") as is_ours:
                if self._reachable_since is None:
                    self._reachable_since = time.monotonic()
                step_s = self._clock_step()
                if not is_ours:
                    return JanitorReport(0, 0)
                if step_s <= -self._lease_s:
                    set_leases_back(self._database, -step_s)
                return self._pass()
        except ServiceDown:
            self._reachable_since = None
            raise

    def _clock_step(self) -> float:
        """Return how far the database's clock was set since the last pass, s; usually about 0."""
        with self._database.read() as tx:
            ahead_s = now(tx).timestamp() - time.monotonic()
        before, self._clock_ahead_s = self._clock_ahead_s, ahead_s
        step_s = 0.0 if before is None else ahead_s - before
        if abs(step_s) > max(0.1, self._lease_s / 3):  # leases are renewed at least as often
            log.warning(
                "clock_was_set", by_s=round(step_s, 1), no_lease_expires_for_s=self._lease_s
            )
            self._reachable_since = time.monotonic()
        return step_s

    def _pass(self) -> JanitorReport:
        n_expired = self._expire()
        fail_overdue(self._database)
        self._settle()
        self._lift()
        n_rung = self._ring()
        if self._sweep is not None:
            self._sweep.run()
        return JanitorReport(n_expired, n_rung)

    def _expire(self) -> int:
        with self._database.write() as tx:
            workers.forget(tx, before=now(tx) - FORGET_WORKERS_AFTER)
        since = self._reachable_since
        if since is None or time.monotonic() - since < self._lease_s:
            return 0
        return expire_leases(self._database)

    def _settle(self) -> None:
        with self._database.read() as tx:
            live = studies.list_studies(tx, states=studies.LIVE_STATES)
            uuids = [study.uuid for study in live if is_due(tx, study)]
        for uuid in uuids:
            with self._database.write() as tx:
                study = studies.lock_by_uuid(tx, uuid)
                if study is not None:
                    settle(tx, study)

    def _lift(self) -> None:
        with self._database.read() as tx:
            living = workers.list_workers(tx, now(tx) - workers.ALIVE_FOR)
            kinds = {worker.device.partition(":")[0] for worker in living}
        lift_unserved(self._database, kinds)

    def _ring(self) -> int:
        with self._database.read() as tx:
            owed = [(study, room.total) for study, room in open_studies(tx) if room.total > 0]
            n_idle = workers.n_idle(tx, now(tx) - workers.ALIVE_FOR, but="")
            first = most_owed(tx, [study for study, _ in owed])
        if first is None or n_idle == 0:
            return 0
        try:
            n_useful = sum(_n_turns(study, total) for study, total in owed)
            n_turns = min(n_idle, n_useful) - self._bell.waiting()
            if n_turns > 0:
                reached(Window.RING_DUE)
                self._bell.ring(n_turns, first.uuid)
                reached(Window.RING_SENT)
            return max(0, n_turns)
        except ServiceDown:
            return 0  # workers look by themselves; a silent bell is only slower


def _n_turns(study: StudyRecord, n_claimable: int) -> int:
    """Return how many workers have something to do in a study."""
    lanes = study.definition["execution"]["lanes"]
    # what "auto" comes to depends on the worker; too many rings do no harm
    return n_claimable if lanes == "auto" else -(-n_claimable // int(lanes))
