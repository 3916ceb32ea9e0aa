"""Keep the best share of the trials, compared at the same epoch."""

import math
from abc import abstractmethod
from typing import Literal

import numpy as np
from optuna.pruners import BasePruner, PercentilePruner
from optuna.trial import FrozenTrial
from pydantic import Field

from hpsearch.pruning.base import REGISTRY
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.optuna_pruner import Compared, OptunaPruner, best_of
from hpsearch.spec.sections import Direction


class QuantilePruner(OptunaPruner):
    """Prune if a trial's best value so far is worse than a percentile of the COMPLETE ones."""

    n_startup_trials: int = Field(5, ge=0, description="COMPLETE trials before any is pruned")
    n_warmup_steps: int = Field(0, ge=0, description="first epochs in which none is pruned")
    interval_steps: int = Field(1, ge=1, description="epochs between two decisions")
    n_min_trials: int = Field(1, ge=1, description="values at an epoch needed to decide there")

    @property
    @abstractmethod
    def kept(self) -> float:
        """The percentage of the trials that is kept."""

    def build(self, max_epochs: int) -> BasePruner:  # noqa: ARG002 - the interface
        """Return Optuna's pruner; our epochs count from 1, so its warm-up is one longer."""
        return PercentilePruner(
            self.kept,
            n_startup_trials=self.n_startup_trials,
            n_warmup_steps=self.n_warmup_steps + 1,
            interval_steps=self.interval_steps,
            n_min_trials=self.n_min_trials,
        )

    def compared(self, study: JudgedStudy, trial: FrozenTrial) -> Compared:
        """Return the trial's best value so far, and the percentile at its last epoch."""
        best = best_of(list(trial.intermediate_values.values()), study.direction)
        epoch = trial.last_step
        at_epoch = [
            other.intermediate_values[epoch]
            for other in study.complete
            if epoch in other.intermediate_values
        ]
        numbers = [value for value in at_epoch if not math.isnan(value)]
        if best is None or not numbers:
            return best, None
        is_maximized = study.direction is Direction.MAXIMIZE
        return best, float(np.percentile(numbers, 100 - self.kept if is_maximized else self.kept))


@REGISTRY.register("percentile")
class Percentile(QuantilePruner):
    """Keep the trials in the best ``percentile`` percent of the COMPLETE ones at each epoch."""

    name: Literal["percentile"] = "percentile"
    percentile: float = Field(ge=0, le=100, description="25 keeps the best quarter")

    @property
    def kept(self) -> float:
        """The percentage of the trials that is kept."""
        return self.percentile
