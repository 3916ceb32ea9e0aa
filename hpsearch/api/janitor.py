"""The janitor's thread: one look a second, through every failure."""

import threading
import time
from pathlib import Path

from hpsearch.errors import Unavailable
from hpsearch.logs import get_logger
from hpsearch.queue.doorbell import Doorbell
from hpsearch.storage.database import Database
from hpsearch.studies.janitor import Janitor

log = get_logger(__name__)

PERIOD_S = 1.0  # a lost worker is noticed within its lease plus this
LONGEST_WAIT_S = 30.0  # between two tries while everything fails
JOIN_S = 5.0  # a pass takes milliseconds; longer than this it hangs in a dead database


class JanitorThread:
    """Runs the janitor's pass again and again until stopped.

    A failing pass is logged and tried again after 1, 2, 4 … 30 seconds.

    Args:
        database: Whose studies to look after.
        doorbell: Rung for work that nobody does.
        lease_s: Life of a lease, s.
        artifacts_dir: Where checkpoints are kept; None leaves them alone.
        period_s: Time between two passes.
    """

    def __init__(
        self,
        database: Database,
        doorbell: Doorbell,
        *,
        lease_s: float,
        artifacts_dir: Path | None = None,
        period_s: float = PERIOD_S,
    ) -> None:
        self._janitor = Janitor(database, lease_s, doorbell, artifacts_dir)
        self._period_s = period_s
        self._nudged = threading.Event()
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="janitor", daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """Have the next pass begin now: there is new work, and it rings the bell."""
        self._nudged.set()

    def stop(self) -> None:
        """End the thread; a pass that has begun is waited for."""
        self._is_stopping = True
        self._nudged.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        wait_s = self._period_s
        while not self._is_stopping:
            self._nudged.clear()
            wait_s = self._period_s if self._pass() else min(2 * wait_s, LONGEST_WAIT_S)
            self._nudged.wait(wait_s)

    def _pass(self) -> bool:
        started_at = time.monotonic()
        try:
            report = self._janitor.tick()
        except Unavailable as error:
            log.warning("janitor_waits", reason=str(error))
            return False
        except Exception:
            # our own mistake must not end the only thread that notices lost workers
            log.exception("janitor_failed", duration_s=round(time.monotonic() - started_at, 3))
            return False
        if report.n_expired or report.n_rung:
            log.info("janitor_acted", n_expired=report.n_expired, n_rung=report.n_rung)
        return True
