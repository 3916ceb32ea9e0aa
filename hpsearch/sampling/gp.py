"""Model the objective by a Gaussian process, and propose where improvement is likeliest."""

import warnings
from collections.abc import Sequence
from typing import ClassVar, Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler
from pydantic import Field

from hpsearch.sampling.base import REGISTRY
from hpsearch.sampling.memory import Memory
from hpsearch.sampling.optuna_sampler import OptunaSampler, refuse_conditional
from hpsearch.spec.plugins import Refusal
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Objective


@REGISTRY.register("gp")
class GaussianProcess(OptunaSampler):
    """Bayesian optimisation, Optuna's: for few trials that each take long.

    A proposal takes some tenths of a second. Its time grows with the third power of the trials
    it looks at, so of more than 250 COMPLETE ones it takes the best 50 and a sample of the
    others. Trials that run are taken into account. It computes in the trainer process alone.

    Source: Ament et al., Unexpected Improvements to Expected Improvement, NeurIPS 2023.
    """

    name: Literal["gp"] = "gp"
    learns: ClassVar[bool] = True
    knows_study: ClassVar[bool] = False
    n_startup_trials: int = Field(10, ge=1, description="random points before the model begins")
    deterministic_objective: bool = Field(
        False, description="whether the same point always gives the same value"
    )

    def refusals(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],  # noqa: ARG002 - the interface
    ) -> list[Refusal]:
        """Return that the space is conditional, if it is."""
        return refuse_conditional("gp", space)

    def memory(self, n_objectives: int) -> Memory:  # noqa: ARG002 - the interface
        """Return up to 250 trials: with four times as many a proposal takes a minute."""
        return Memory(most=250, best=50, with_pruned=False)

    def build(self, seed: int, *, is_conditional: bool) -> BaseSampler:  # noqa: ARG002
        """Return Optuna's sampler with its own generator."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return GPSampler(
                seed=seed,
                n_startup_trials=self.n_startup_trials,
                deterministic_objective=self.deterministic_objective,
                warn_independent_sampling=False,
            )
