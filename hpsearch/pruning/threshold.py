"""Stop what leaves the range in which training makes sense."""

from typing import Literal

from optuna.pruners import BasePruner, ThresholdPruner
from optuna.trial import FrozenTrial
from pydantic import Field, model_validator

from hpsearch.pruning.base import REGISTRY
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.optuna_pruner import Compared, OptunaPruner


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

    def build(self, max_epochs: int) -> BasePruner:  # noqa: ARG002 - the interface
        """Return Optuna's pruner; our epochs count from 1, so its warm-up is one longer."""
        return ThresholdPruner(
            lower=self.lower,
            upper=self.upper,
            n_warmup_steps=self.n_warmup_steps + 1,
            interval_steps=self.interval_steps,
        )

    def compared(self, study: JudgedStudy, trial: FrozenTrial) -> Compared:  # noqa: ARG002
        """Return the last value, and the limit it is beyond."""
        value = trial.intermediate_values[trial.last_step or 0]
        is_low = self.lower is not None and value < self.lower
        return value, self.lower if is_low else self.upper
