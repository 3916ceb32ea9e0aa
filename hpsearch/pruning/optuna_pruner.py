"""The common ground of pruners that Optuna brings."""

import math
from abc import abstractmethod

from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from hpsearch.pruning.base import Pruner
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.spec.sections import Direction
from hpsearch.spec.views import Pruned

Compared = tuple[float | None, float | None]
"""The value a trial was judged by, and the limit it missed; None where there is none."""


class OptunaPruner(Pruner):
    """A pruner that Optuna brings: Optuna decides, we say what was compared."""

    @abstractmethod
    def build(self, max_epochs: int) -> BasePruner:
        """Return Optuna's pruner, every argument given."""

    @abstractmethod
    def compared(self, study: JudgedStudy, trial: FrozenTrial) -> Compared:
        """Return what decided against a trial that has just been pruned."""

    @property
    def rule(self) -> str:
        """What the decision is recorded as."""
        return str(getattr(self, "name", type(self).__name__))

    def judge(self, study: JudgedStudy, trial: FrozenTrial) -> Pruned | None:
        """Return why a trial is stopped at its last epoch, or None if it goes on."""
        if not self.build(study.max_epochs).prune(study.optuna, trial):
            return None
        value, threshold = self.compared(study, trial)
        return Pruned(self.rule, trial.last_step or 0, _finite(value), _finite(threshold))


def best_of(values: list[float], direction: Direction) -> float | None:
    """Return the best number among values, None if there is none."""
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return None
    return max(numbers) if direction is Direction.MAXIMIZE else min(numbers)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
