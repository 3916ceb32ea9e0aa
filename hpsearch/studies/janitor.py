"""What nobody asks for and must happen all the same: expired leases, limits, the doorbell."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from hpsearch.errors import ServiceDown
from hpsearch.faults import Window, reached
from hpsearch.storage import studies, workers
from hpsearch.storage.database import Database, now
from hpsearch.storage.locks import JANITOR, try_lock
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.next_study import most_owed, open_studies
from hpsearch.studies.overdue import fail_overdue
from hpsearch.studies.recover import expire_leases
from hpsearch.studies.settle import is_due, settle
from hpsearch.studies.shares import lift_unserved

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
            for that long without a break, because its holder may have been as cut off as we.
        bell: Where turns are announced.
    """

    def __init__(self, database: Database, lease_s: float, bell: Bell) -> None:
        self._database = database
        self._lease_s = lease_s
        self._bell = bell
        self._reachable_since: float | None = None

    def tick(self) -> JanitorReport:
        """Do everything once, unless another janitor is at it.

        Raises:
            ServiceDown: The database is away; leases have their full life again afterwards.
        """
        try:
            with try_lock(self._database, JANITOR, "janitor") as is_ours:
                if self._reachable_since is None:
                    self._reachable_since = time.monotonic()
                return self._pass() if is_ours else JanitorReport(0, 0)
        except ServiceDown:
            self._reachable_since = None
            raise

    def _pass(self) -> JanitorReport:
        n_expired = self._expire()
        fail_overdue(self._database)
        self._settle()
        self._lift()
        return JanitorReport(n_expired, self._ring())

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
            since = now(tx) - timedelta(seconds=self._lease_s)
            kinds = {worker.device.partition(":")[0] for worker in workers.list_workers(tx, since)}
        lift_unserved(self._database, kinds)

    def _ring(self) -> int:
        with self._database.read() as tx:
            owed = [(study, room.total) for study, room in open_studies(tx) if room.total > 0]
            since = now(tx) - timedelta(seconds=self._lease_s)
            n_idle = workers.n_idle(tx, since, but="")
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
