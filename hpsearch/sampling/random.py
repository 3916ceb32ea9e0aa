"""Draw every point independently: a pure function of the study's seed and the sample index."""

import math
from typing import Literal

import numpy as np

from hpsearch.sampling.base import REGISTRY, IndexedSampler, ReservedTrial
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.space import Domain, FloatDomain, IntDomain, ParameterValue


@REGISTRY.register("random")
class RandomSampler(IndexedSampler):
    """Uniform in each range, in its logarithm where the range is log.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012.
    """

    name: Literal["random"] = "random"

    def point(
        self,
        space: SearchSpace,  # noqa: ARG002 - the interface
        seed: int,
        trial: ReservedTrial,
    ) -> "PointDraw":
        """Return what answers for the parameters of one point."""
        return PointDraw(seed, trial.sample_index, trial.n_refused)


class PointDraw:
    """Draws the values of one point, in the order the space asks for them.

    Args:
        seed: The study's seed.
        sample_index: Which point of the study.
        n_refused: How many points of this index came before.
    """

    def __init__(self, seed: int, sample_index: int, n_refused: int = 0) -> None:
        entropy = (seed, sample_index, n_refused) if n_refused else (seed, sample_index)
        self._rng = np.random.default_rng(np.random.SeedSequence(entropy))

    def __call__(self, _name: str, domain: Domain) -> ParameterValue:
        """Return the next value of the point."""
        if isinstance(domain, FloatDomain):
            return self._float(domain)
        if isinstance(domain, IntDomain):
            return self._int(domain)
        return domain.choices[int(self._rng.integers(len(domain.choices)))]

    def _float(self, domain: FloatDomain) -> float:
        if domain.step is not None:
            n_steps = round((domain.high - domain.low) / domain.step)
            drawn = domain.low + domain.step * int(self._rng.integers(n_steps + 1))
        elif domain.log:
            drawn = math.exp(self._rng.uniform(math.log(domain.low), math.log(domain.high)))
        else:
            # halves, because high - low may overflow
            share = self._rng.uniform()
            drawn = domain.low * (1 - share) + domain.high * share
        return min(max(drawn, domain.low), domain.high)

    def _int(self, domain: IntDomain) -> int:
        if not domain.log:
            n_steps = (domain.high - domain.low) // domain.step
            return domain.low + domain.step * int(self._rng.integers(n_steps + 1))
        # half a unit beyond both ends, so that each end is as likely as its neighbours
        low, high = math.log(domain.low - 0.5), math.log(domain.high + 0.5)
        drawn = round(math.exp(self._rng.uniform(low, high)))
        return min(max(drawn, domain.low), domain.high)
