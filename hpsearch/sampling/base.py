"""What a sampler is: a plugin that proposes points for trials a claim has reserved."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.trial import FrozenTrial
from pydantic import Field

from hpsearch.registry import Registry
from hpsearch.sampling.memory import Memory
from hpsearch.spec.nodes import Draw
from hpsearch.spec.plugins import StudyPlugin
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Direction
from hpsearch.spec.space import ParameterValue

REGISTRY = Registry("hpsearch.sampling")


@dataclass(frozen=True, slots=True)
class ReservedTrial:
    """A RUNNING trial that has no parameters yet.

    Attributes:
        trial_id: Optuna's id.
        number: The trial's number in its study.
        sample_index: Issued under the study's lock, never twice; a retry keeps it.
        fixed: Parameters somebody has chosen; None for a point that is all the sampler's.
        n_refused: How many points drawn for it were duplicates; each time another is drawn.
    """

    trial_id: int
    number: int
    sample_index: int
    fixed: Mapping[str, ParameterValue] | None = None
    n_refused: int = 0


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """What a sampler is asked.

    Attributes:
        seed: The study's seed.
        space: The search space.
        directions: One per objective.
        trials: The reserved trials, in number order.
        history: Reads the trials the sampler looks at as Optuna sees them; called only if needed.
        study_attrs: Reads what the sampler remembered with the study; called only if needed.
    """

    seed: int
    space: SearchSpace
    directions: tuple[Direction, ...]
    trials: tuple[ReservedTrial, ...]
    history: Callable[[], Sequence[FrozenTrial]]
    study_attrs: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True, slots=True)
class SampledPoint:
    """A sampler's answer for one trial.

    Attributes:
        params: A value for every active parameter.
        system_attrs: What the sampler wants to remember with the trial.
        study_attrs: What it wants to remember with the study; who writes first is right.
    """

    params: Mapping[str, ParameterValue]
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    study_attrs: Mapping[str, Any] = field(default_factory=dict)


class Sampler(StudyPlugin):
    """Settings and behaviour of one sampler."""

    on_duplicate: Literal["allow", "resample"] = Field(
        "allow",
        description="whether a point that was drawn before is drawn anew, up to ten times",
    )

    def n_points(self, space: SearchSpace) -> int | None:  # noqa: ARG002 - the interface
        """Return how many sample indexes there are; None for as many as are asked for."""
        return None

    def memory(self, n_objectives: int) -> Memory | None:  # noqa: ARG002 - the interface
        """Return which finished trials are looked at; None for all."""
        return None

    @abstractmethod
    def sample(self, request: SampleRequest) -> dict[int, SampledPoint]:
        """Return a point for every reserved trial, by trial number."""


class IndexedSampler(Sampler):
    """A sampler whose points are a pure function of the study's seed and the sample index.

    The same study draws the same points whatever is killed and however many workers there are.
    """

    @abstractmethod
    def point(self, space: SearchSpace, seed: int, trial: ReservedTrial) -> Draw:
        """Return what answers for the parameters of one point."""

    def sample(self, request: SampleRequest) -> dict[int, SampledPoint]:
        """Return a point for every reserved trial, by trial number."""
        return {
            trial.number: SampledPoint(
                request.space.suggest(self.point(request.space, request.seed, trial))
            )
            for trial in request.trials
        }
