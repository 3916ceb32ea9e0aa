"""Let trials climb rungs: at each one only the best share goes on."""

from typing import Literal

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

    def bracket(self, study: JudgedStudy, number: int) -> int:  # noqa: ARG002 - one for all
        """Return 0: every trial competes with every other."""
        return 0

    def ladder(self, study: JudgedStudy, number: int) -> Ladder:  # noqa: ARG002 - one for all
        """Return the rungs every trial climbs."""
        return Ladder(self.min_resource, self.reduction_factor, self.min_early_stopping_rate)
