"""What nobody asks for and must happen all the same: expired leases, limits, the doorbell."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from hpsearch.errors import ServiceDown
from hpsearch.storage import studies, workers
from hpsearch.storage.database import Database, now
from hpsearch.studies.next_study import open_studies
from hpsearch.studies.recover import expire_leases
from hpsearch.studies.settle import settle

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
    """One pass a second in every API process; idempotent, so several do no harm.

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
        """Do everything once.

        Raises:
            ServiceDown: The database is away; leases have their full life again afterwards.
        """
        try:
            n_expired = self._expire()
            self._settle()
            return JanitorReport(n_expired, self._ring())
        except ServiceDown:
            self._reachable_since = None
            raise

    def _expire(self) -> int:
        with self._database.write() as tx:
            workers.forget(tx, before=now(tx) - FORGET_WORKERS_AFTER)
        if self._reachable_since is None:
            self._reachable_since = time.monotonic()
        if time.monotonic() - self._reachable_since < self._lease_s:
            return 0
        return expire_leases(self._database)

    def _settle(self) -> None:
        with self._database.read() as tx:
            uuids = studies.live_uuids(tx)
        for uuid in uuids:
            with self._database.write() as tx:
                study = studies.lock_by_uuid(tx, uuid)
                if study is not None:
                    settle(tx, study)

    def _ring(self) -> int:
        with self._database.read() as tx:
            owed = [(study, room.total) for study, room in open_studies(tx) if room.total > 0]
            since = now(tx) - timedelta(seconds=self._lease_s)
            n_idle = workers.n_idle(tx, since, but="")
        if not owed or n_idle == 0:
            return 0
        try:
            n_turns = min(n_idle, sum(total for _, total in owed)) - self._bell.waiting()
            if n_turns > 0:
                first = min(owed, key=lambda item: item[0].virtual_time)[0]
                self._bell.ring(n_turns, first.uuid)
            return max(0, n_turns)
        except ServiceDown:
            return 0  # workers look by themselves; a silent bell is only slower
