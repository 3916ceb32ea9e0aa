"""Stop what is worse than half of the trials were at the same epoch."""

from typing import Literal

from hpsearch.pruning.base import REGISTRY
from hpsearch.pruning.percentile import QuantilePruner


@REGISTRY.register("median")
class Median(QuantilePruner):
    """Prune if a trial's best value so far is worse than the COMPLETE trials' median.

    Source: Golovin et al., Google Vizier, KDD 2017.
    """

    name: Literal["median"] = "median"

    @property
    def kept(self) -> float:
        """The percentage of the trials that is kept."""
        return 50.0
