"""Spread points evenly over the space: a quasi-random sequence, keyed by the study's seed."""

import hashlib
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from hpsearch.sampling.base import REGISTRY, IndexedSampler, ReservedTrial
from hpsearch.sampling.random import PointDraw
from hpsearch.spec.nodes import Draw
from hpsearch.spec.plugins import Refusal
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Objective
from hpsearch.spec.space import Domain, FloatDomain, IntDomain, ParameterValue

MAX_PARAMETERS = 21_201  # dimensions for which direction numbers of Sobol' are known


@REGISTRY.register("qmc")
class QuasiRandom(IndexedSampler):
    """The points of one scrambled sequence: every stretch of it covers the space evenly.

    Sobol' is at its best when ``max_trials`` is a power of two. Unlike Optuna's sampler of this
    name it needs no memory: point ``i`` is the i-th of the sequence, whoever draws it.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012.
    """

    name: Literal["qmc"] = "qmc"
    qmc_type: Literal["sobol", "halton"] = Field("sobol", description="the sequence")
    scramble: bool = Field(True, description="randomise the sequence by the study's seed")

    def refusals(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],  # noqa: ARG002 - the interface
    ) -> list[Refusal]:
        """Return that the space is conditional, if it is."""
        if space.is_conditional:
            message = (
                "qmc cannot search a conditional space: a parameter some points lack would leave "
                "holes in its sequence; use random or tpe"
            )
            return [Refusal("name", message)]
        if len(space.domains) > MAX_PARAMETERS:
            return [Refusal("name", f"qmc takes at most {MAX_PARAMETERS:,} parameters")]
        return []

    def point(self, space: SearchSpace, seed: int, trial: ReservedTrial) -> Draw:
        """Return what answers for the parameters of one point."""
        if trial.n_refused:
            return PointDraw(seed, trial.sample_index, trial.n_refused)
        names = sorted(space.domains)
        shares = dict(zip(names, self._shares(len(names), seed, trial.sample_index), strict=True))
        return lambda name, domain: at_share(domain, shares[name])

    def _shares(self, n_parameters: int, seed: int, index: int) -> list[float]:
        """Return a point of the unit cube."""
        from scipy.stats import qmc  # here, because it takes a second

        if n_parameters == 0:
            return []
        key = hashlib.blake2b(f"{seed}:{self.qmc_type}".encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(key))
        engine_type = qmc.Sobol if self.qmc_type == "sobol" else qmc.Halton
        engine = engine_type(n_parameters, scramble=self.scramble, rng=rng)
        if index > 0:
            engine.fast_forward(index)
        return [float(share) for share in engine.random(1)[0]]


def at_share(domain: Domain, share: float) -> ParameterValue:
    """Return the value below which this share (0 to 1) of the domain lies."""
    if isinstance(domain, FloatDomain):
        return _float_at(domain, share)
    if isinstance(domain, IntDomain):
        return _int_at(domain, share)
    n_choices = len(domain.choices)
    return domain.choices[min(int(share * n_choices), n_choices - 1)]


def _float_at(domain: FloatDomain, share: float) -> float:
    if domain.size is not None and domain.step is not None:
        value = domain.low + domain.step * min(int(share * domain.size), domain.size - 1)
    elif domain.log:
        value = math.exp(math.log(domain.low) * (1 - share) + math.log(domain.high) * share)
    else:
        # halves, because high - low may overflow
        value = domain.low * (1 - share) + domain.high * share
    return min(max(value, domain.low), domain.high)


def _int_at(domain: IntDomain, share: float) -> int:
    if not domain.log:
        return domain.low + domain.step * min(int(share * domain.size), domain.size - 1)
    # half a unit beyond both ends, so that each end is as likely as its neighbours
    low, high = math.log(domain.low - 0.5), math.log(domain.high + 0.5)
    return min(max(round(math.exp(low * (1 - share) + high * share)), domain.low), domain.high)
