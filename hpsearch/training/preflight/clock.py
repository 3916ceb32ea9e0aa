"""How long a preflight may take, and whether somebody wants it to end at once."""

import math
import time
from collections.abc import Callable

from hpsearch.spec.sections import Limits

SHORTEST_S = 5.0  # enough for every check on small data
BUDGET_SHARE = 0.02  # of a study's time or device-seconds
LONGEST_S = 30.0  # more tells nothing new
SMALL_BUDGET_SHARE = 0.2  # a study of seconds is not spent on its preflight


class InterruptedPreflightError(Exception):
    """The caller wants its device back."""


def limit_of(limits: Limits) -> float:
    """Return the most seconds the preflight of a study with these limits may take."""
    ends = [end for end in (limits.timeout_s, limits.device_seconds) if end is not None]
    budget_s = min(ends, default=math.inf)
    share = max(SHORTEST_S, BUDGET_SHARE * budget_s) if ends else SHORTEST_S
    return min(share, LONGEST_S, SMALL_BUDGET_SHARE * budget_s)


class Clock:
    """The time that is left.

    Args:
        limit_s: How long all checks together may take.
        interrupted: Whether to leave at once; asked between small pieces of work.
    """

    def __init__(self, limit_s: float, interrupted: Callable[[], bool]) -> None:
        self._interrupted = interrupted
        self._started = time.monotonic()
        self._ends = self._started + limit_s

    @classmethod
    def within(cls, clock: "Clock", limit_s: float) -> "Clock":
        """Return a clock of a part of another's time, with the same wish to leave."""
        return cls(min(limit_s, clock.left_s), clock._interrupted)

    @property
    def spent_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    @property
    def left_s(self) -> float:
        """Seconds left, never less than none."""
        return max(0.0, self._ends - time.monotonic())

    def is_over(self) -> bool:
        """Return whether the time is used up.

        Raises:
            InterruptedPreflightError: The caller wants to leave.
        """
        if self._interrupted():
            raise InterruptedPreflightError
        return self.left_s <= 0
