"""Let trials climb rungs: at each one only the best share goes on."""

from typing import Literal

from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial
from pydantic import Field

from hpsearch.pruning.base import REGISTRY
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.rungs import Ladder, RungPruner


@REGISTRY.register("successive_halving")
class SuccessiveHalving(RungPruner):
    """Asynchronous successive halving: the best ``1/reduction_factor`` at each rung go on.

    The rungs are the epochs ``min_resource * reduction_factor ** (min_early_stopping_rate + k)``.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020.
    """

    name: Literal["successive_halving"] = "successive_halving"
    min_resource: int = Field(1, ge=1, description="epochs up to the first rung")
    reduction_factor: int = Field(4, ge=2, description="one in so many goes on")
    min_early_stopping_rate: int = Field(0, ge=0, le=32, description="rungs left out at first")
    bootstrap_count: int = Field(0, ge=0, description="trials a rung waits for")

    def build(self, max_epochs: int) -> BasePruner:  # noqa: ARG002 - the interface
        """Return Optuna's pruner; ``min_resource`` is never guessed from the first trials."""
        return SuccessiveHalvingPruner(
            min_resource=self.min_resource,
            reduction_factor=self.reduction_factor,
            min_early_stopping_rate=self.min_early_stopping_rate,
            bootstrap_count=self.bootstrap_count,
        )

    def ladder(self, study: JudgedStudy, number: int) -> Ladder:  # noqa: ARG002 - one for all
        """Return the rungs every trial climbs."""
        return Ladder(self.min_resource, self.reduction_factor, self.min_early_stopping_rate)

    def rivals(self, study: JudgedStudy, trial: FrozenTrial) -> list[FrozenTrial]:  # noqa: ARG002
        """Return every trial."""
        return study.optuna.get_trials(deepcopy=False)
