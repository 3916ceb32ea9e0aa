"""What a sampler is: a plugin that proposes points for trials a claim has reserved."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from hpsearch.registry import Registry
from hpsearch.spec.fields import Settings
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
    """

    trial_id: int
    number: int
    sample_index: int
    fixed: Mapping[str, ParameterValue] | None = None


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """What a sampler is asked.

    Attributes:
        seed: The study's seed.
        space: The search space.
        directions: One per objective.
        trials: The reserved trials, in number order.
        history: Reads the study's trials as Optuna sees them; called only if needed.
    """

    seed: int
    space: SearchSpace
    directions: tuple[Direction, ...]
    trials: tuple[ReservedTrial, ...]
    history: Callable[[], Sequence[FrozenTrial]]


@dataclass(frozen=True, slots=True)
class SampledPoint:
    """A sampler's answer for one trial.

    Attributes:
        params: A value for every active parameter.
        system_attrs: What the sampler wants to remember with the trial.
    """

    params: Mapping[str, ParameterValue]
    system_attrs: Mapping[str, Any] = field(default_factory=dict)


class Sampler(Settings):
    """Settings and behaviour of one sampler."""

    @abstractmethod
    def sample(self, request: SampleRequest) -> dict[int, SampledPoint]:
        """Return a point for every reserved trial, by trial number."""
