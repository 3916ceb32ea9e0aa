"""Breed points from those no other point beats: for several objectives."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from optuna.samplers import BaseSampler, NSGAIISampler
from pydantic import Field

from hpsearch.sampling.base import REGISTRY
from hpsearch.sampling.optuna_sampler import OptunaSampler
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Objective


@REGISTRY.register("nsgaii")
class NsgaII(OptunaSampler):
    """NSGA-II, Optuna's: a genetic algorithm that approaches the whole Pareto front.

    The parents of a generation are chosen once and stored with the study, for all workers.

    Source: Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm, IEEE TEC 2002.
    """

    name: Literal["nsgaii"] = "nsgaii"
    learns: ClassVar[bool] = True
    population_size: int = Field(50, ge=2, le=10_000, description="trials in a generation")
    mutation_prob: float | None = Field(
        None, ge=0, le=1, description="of each parameter; null: one parameter on average"
    )
    crossover_prob: float = Field(0.9, ge=0, le=1, description="that a child has two parents")
    swapping_prob: float = Field(0.5, ge=0, le=1, description="of each parameter in a crossover")

    def warnings(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],  # noqa: ARG002 - the interface
    ) -> list[str]:
        """Return that parameters of branches are not bred, if there are any."""
        if not space.is_conditional:
            return []
        return [
            "sampler: nsgaii breeds only the parameters that every point has; those of single "
            "branches or layers are drawn at random (tpe models them)"
        ]

    def build(self, seed: int, *, is_conditional: bool) -> BaseSampler:  # noqa: ARG002
        """Return Optuna's sampler with its own generator."""
        return NSGAIISampler(
            population_size=self.population_size,
            mutation=None,
            mutation_prob=self.mutation_prob,
            crossover=None,
            crossover_prob=self.crossover_prob,
            swapping_prob=self.swapping_prob,
            seed=seed,
        )
