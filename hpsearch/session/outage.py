"""A service that is away: told once, tried again with back-off, told again when it is back."""

import math
import time

from hpsearch.errors import ServiceDown
from hpsearch.logs import get_logger
from hpsearch.processes import Backoff

log = get_logger(__name__)


class Outage:
    """What one thread of a session knows of the database's absences.

    Args:
        doing: What fails meanwhile, for the log.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._backoff = Backoff(first_s=0.2, longest_s=5.0, calm_s=math.inf)
        self._since: float | None = None
        self._again_at = -math.inf

    @property
    def rest_s(self) -> float:
        """How long to leave the database alone, s; 0 when it may be asked."""
        return max(0.0, self._again_at - time.monotonic())

    def failed(self, error: ServiceDown) -> None:
        """Note that it did not answer."""
        at = time.monotonic()
        self._again_at = at + self._backoff.failed()
        if self._since is None:
            self._since = at
            log.warning("database_lost", doing=self._doing, error=str(error))

    def answered(self) -> None:
        """Note that it did."""
        if self._since is None:
            return
        log.info(
            "database_found", doing=self._doing, away_s=round(time.monotonic() - self._since, 1)
        )
        self._since, self._again_at = None, -math.inf
        self._backoff.succeeded()
