"""One supervised process: started, started again when it dies, and it says so."""

import time
from collections.abc import Callable
from pathlib import Path

from hpsearch.errors import HpsearchError
from hpsearch.local.logfile import LogFile
from hpsearch.processes import Backoff, Process, describe_exit

Announce = Callable[[str], None]


class Service:
    """A process that should always run.

    Args:
        name: What people call it, also the name of its log.
        launch: Starts it, writing to its log.
        log: Where it writes.
        announce: Told, in a sentence, when it dies.
    """

    def __init__(
        self, name: str, launch: Callable[[], Process], log: LogFile, announce: Announce
    ) -> None:
        self.name = name
        self.log = log
        self.process: Process | None = None
        self.backoff = Backoff(first_s=0.2)
        self._launch = launch
        self._announce = announce
        self._start_at = 0.0

    @property
    def log_path(self) -> Path:
        """Where to read what it said."""
        return self.log.path

    def start(self) -> None:
        """Start it.

        Raises:
            HpsearchError: It cannot be started at all.
        """
        self.backoff.started()
        self.process = self._launch()

    def tend(self) -> None:
        """Start it again if it died and its time has come."""
        if self.process is not None and self.process.poll() is not None:
            self._mourn(describe_exit(self.process.returncode))
        elif self.process is None and time.monotonic() >= self._start_at:
            try:
                self.start()
            except HpsearchError as error:
                self._mourn(str(error))

    def _mourn(self, how: str) -> None:
        self.process = None
        wait_s = self.backoff.failed()
        self._start_at = time.monotonic() + wait_s
        self._announce(
            f"the {self.name} process ended ({how}); starting it again in {wait_s:g} s; "
            f"its log is {self.log_path}"
        )
