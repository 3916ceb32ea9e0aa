"""Keep the best share of the trials, compared at the same epoch."""

import math
from abc import abstractmethod
from collections import defaultdict
from typing import Literal

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from hpsearch.pruning.base import REGISTRY, Needs
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.optuna_pruner import OptunaPruner, best_of, is_due
from hpsearch.spec.sections import Direction
from hpsearch.spec.views import Pruned
from hpsearch.storage.curves import Curve


class CompleteCurves:
    """What the COMPLETE trials had reached at each epoch."""

    def __init__(self) -> None:
        self.n = 0
        self._at: dict[int, list[float]] = defaultdict(list)
        self._known: dict[tuple[int, float], tuple[int, float]] = {}

    def change(self, old: Curve | None, new: Curve) -> None:
        """Take note of a trial that is COMPLETE now; it stays as it is for ever."""
        is_new = old is None or old.state is not TrialState.COMPLETE
        if is_new and new.state is TrialState.COMPLETE:
            self.n += 1
            for epoch, value in new.values.items():
                self._at[epoch].append(value)

    def n_at(self, epoch: int) -> int:
        """Return how many of them recorded an epoch."""
        return len(self._at.get(epoch, ()))

    def percentile(self, epoch: int, percent: float) -> float:
        """Return the percentile of their values at an epoch that some recorded; NaN is passed."""
        values = self._at[epoch]
        n, found = self._known.get((epoch, percent), (0, math.nan))
        if n != len(values):
            numbers = np.asarray(values, dtype=float)
            numbers = numbers[~np.isnan(numbers)]
            found = float(np.percentile(numbers, percent)) if numbers.size else math.nan
            self._known[epoch, percent] = (len(values), found)
        return found


class QuantilePruner(OptunaPruner):
    """Prune if a trial's best value so far is worse than a percentile of the COMPLETE ones."""

    n_startup_trials: int = Field(5, ge=0, description="COMPLETE trials before any is pruned")
    n_warmup_steps: int = Field(0, ge=0, description="first epochs in which none is pruned")
    interval_steps: int = Field(1, ge=1, description="epochs between two decisions")
    n_min_trials: int = Field(1, ge=1, description="values at an epoch needed to decide there")

    @property
    def needs(self) -> Needs:
        """Return that it compares with the COMPLETE trials."""
        return Needs.CURVES

    @property
    @abstractmethod
    def kept(self) -> float:
        """The percentage of the trials that is kept."""

    def judge(self, study: JudgedStudy, trial: FrozenTrial) -> Pruned | None:
        """Return why a trial is stopped at its last epoch, or None if it goes on."""
        complete = study.index(CompleteCurves, CompleteCurves)
        if complete.n == 0 or complete.n < self.n_startup_trials:
            return None
        epochs = list(trial.intermediate_values)
        if not epochs or not is_due(epochs, self.n_warmup_steps, self.interval_steps):
            return None
        epoch, is_maximized = max(epochs), study.direction is Direction.MAXIMIZE
        limit = math.nan
        if complete.n_at(epoch) >= self.n_min_trials:
            limit = complete.percentile(epoch, 100 - self.kept if is_maximized else self.kept)
        best = best_of(list(trial.intermediate_values.values()), study.direction)
        if best is None:
            return self.pruned(epoch, None, limit)
        if best < limit if is_maximized else best > limit:
            return self.pruned(epoch, best, limit)
        return None


@REGISTRY.register("percentile")
class Percentile(QuantilePruner):
    """Keep the trials in the best ``percentile`` percent of the COMPLETE ones at each epoch."""

    name: Literal["percentile"] = "percentile"
    percentile: float = Field(ge=0, le=100, description="25 keeps the best quarter")

    @property
    def kept(self) -> float:
        """The percentage of the trials that is kept."""
        return self.percentile
