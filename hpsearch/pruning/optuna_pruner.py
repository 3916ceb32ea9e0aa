"""The common ground of the pruners that decide as Optuna's of the same name."""

import math

from hpsearch.pruning.base import Needs, Pruner
from hpsearch.spec.sections import Direction
from hpsearch.spec.views import Pruned


class OptunaPruner(Pruner):
    """A pruner that Optuna has too, and that decides as Optuna's does.

    Optuna's own walk through all trials for every question; these ask indexes that are kept up
    to date, so that a report costs the same however many trials there are.
    """

    @property
    def needs(self) -> Needs:
        """Return that what it has itself reported is enough for most."""
        return Needs.CURVE

    @property
    def attr_prefix(self) -> str | None:
        """Return None: only pruners with rungs write attributes."""
        return None

    @property
    def rule(self) -> str:
        """What the decision is recorded as."""
        return str(getattr(self, "name", type(self).__name__))

    def pruned(self, epoch: int, value: float | None, threshold: float | None) -> Pruned:
        """Return the decision: the value a trial was judged by, and the limit it missed."""
        return Pruned(self.rule, epoch, _finite(value), _finite(threshold))


def best_of(values: list[float], direction: Direction) -> float | None:
    """Return the best number among values, None if there is none."""
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return None
    return max(numbers) if direction is Direction.MAXIMIZE else min(numbers)


def is_due(steps: list[int], n_warmup_steps: int, interval_steps: int) -> bool:
    """Return whether the last of a trial's epochs is one to decide at.

    It is after ``n_warmup_steps`` epochs and the first one recorded of its interval. Our epochs
    count from 1 and Optuna's from 0, so the intervals begin one later.
    """
    last = max(steps)
    begin = n_warmup_steps + 1
    if last < begin:
        return False
    first = begin + (last - begin) // interval_steps * interval_steps
    return max((step for step in steps if step != last), default=-1) < first


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
