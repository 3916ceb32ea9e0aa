"""Stop what leaves the range in which training makes sense."""

import math
from typing import Literal

from optuna.trial import FrozenTrial
from pydantic import Field, model_validator

from hpsearch.pruning.base import REGISTRY
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.optuna_pruner import OptunaPruner, is_due
from hpsearch.spec.views import Pruned


@REGISTRY.register("threshold")
class Threshold(OptunaPruner):
    """Prune once the metric is below ``lower`` or above ``upper``, whatever the siblings do."""

    name: Literal["threshold"] = "threshold"
    lower: float | None = Field(None, description="smallest value worth going on with")
    upper: float | None = Field(None, description="largest value worth going on with")
    n_warmup_steps: int = Field(0, ge=0, description="first epochs in which none is pruned")
    interval_steps: int = Field(1, ge=1, description="epochs between two decisions")

    @model_validator(mode="after")
    def _check(self) -> "Threshold":
        if self.lower is None and self.upper is None:
            raise ValueError("give lower, upper or both: without a limit nothing is pruned")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError("lower must not be above upper: everything would be pruned")
        return self

    def judge(self, study: JudgedStudy, trial: FrozenTrial) -> Pruned | None:  # noqa: ARG002
        """Return why a trial is stopped at its last epoch, or None if it goes on."""
        epochs = list(trial.intermediate_values)
        if not epochs or not is_due(epochs, self.n_warmup_steps, self.interval_steps):
            return None
        epoch = max(epochs)
        value = trial.intermediate_values[epoch]
        if self.lower is not None and value < self.lower:
            return self.pruned(epoch, value, self.lower)
        if math.isnan(value) or (self.upper is not None and value > self.upper):
            return self.pruned(epoch, value, self.upper)
        return None
