"""Try every point of a finite space once, then end the study."""

import math
from collections.abc import Sequence
from typing import Literal

from hpsearch.sampling.base import REGISTRY, IndexedSampler, ReservedTrial
from hpsearch.sampling.optuna_sampler import trial_seed
from hpsearch.spec.enumeration import point_at
from hpsearch.spec.nodes import Draw
from hpsearch.spec.plugins import Refusal
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Objective
from hpsearch.spec.space import FloatDomain

GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it fill an interval as evenly as can be


@REGISTRY.register("grid")
class Grid(IndexedSampler):
    """Every point of a space without a continuum, branches included, each exactly once.

    The order is a permutation keyed by the study's seed that jumps through the whole grid, so
    that a study stopped half-way has seen all of it. When the last point is out the study ends
    as SEARCH_SPACE_EXHAUSTED; ``max_trials`` is not needed.
    """

    name: Literal["grid"] = "grid"

    def refusals(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],  # noqa: ARG002 - the interface
    ) -> list[Refusal]:
        """Return which parameters are continuous."""
        endless = [
            name
            for name, domain in space.domains.items()
            if isinstance(domain, FloatDomain) and domain.step is None
        ]
        if not endless:
            return []
        more = f" and {len(endless) - 5} more" if len(endless) > 5 else ""
        message = (
            f"grid needs a finite space, but {', '.join(endless[:5])}{more} "
            "can take any value; give a step or choices"
        )
        return [Refusal("name", message)]

    def n_points(self, space: SearchSpace) -> int | None:
        """Return the size of the grid."""
        return space.size()

    def point(self, space: SearchSpace, seed: int, trial: ReservedTrial) -> Draw:
        """Return what answers for the parameters of one point."""
        values = point_at(space, shuffled(trial.sample_index, space.size() or 1, seed))
        return lambda name, _: values[name]


def shuffled(index: int, size: int, seed: int) -> int:
    """Return the place of an index in a permutation of ``range(size)``.

    Indexes beyond the size begin anew.
    """
    stride = max(1, round(size * GOLDEN))
    while math.gcd(stride, size) != 1:
        stride += 1
    return (trial_seed(seed, 0) + index * stride) % size
