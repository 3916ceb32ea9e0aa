"""What an update rule promises: settings per lane, one update for all lanes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.optimizers.schedules import AnySchedule, Constant
from hpsearch.registry import Registry
from hpsearch.spec.fields import Searchable, Settings

if TYPE_CHECKING:  # the API process loads these settings and must never load torch
    from torch import Tensor

REGISTRY = Registry("hpsearch.optimizers")

LearningRate = Annotated[
    float, Field(gt=0, le=1000, description="peak, times the schedule"), Searchable()
]
Momentum = Annotated[
    float,
    Field(ge=0, lt=1, description="share of the last step that is taken again"),
    Searchable(),
]
Beta1 = Annotated[
    float, Field(ge=0, lt=1, description="memory of the mean gradient"), Searchable()
]
Beta2 = Annotated[
    float, Field(ge=0, lt=1, description="memory of the gradient's size"), Searchable()
]
Epsilon = Annotated[
    float, Field(gt=0, le=1, description="keeps the division finite"), Searchable()
]


class Optimizer(Settings, ABC):
    """The update rule of one trial, torch.optim's, with its coefficients.

    Lanes that share a class share a pack; everything else is a coefficient of the lane.

    Class attributes:
        buffers: Names of the running values kept for every parameter.
        optional: Coefficients left out where they are zero in every lane of the pack.
        kernel: Name of torch's own kernel behind :meth:`update_lane`, which may be missing: it
            is private. None if the rule has no such method.
        pays_from: Parameters of a lane from which :meth:`update_lane` is the faster one.
        takes_l2: Whether :meth:`update_lane` adds the gradient of the l2 term by itself.
    """

    buffers: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[frozenset[str]] = frozenset()
    kernel: ClassVar[str | None] = None
    pays_from: ClassVar[int] = 0
    takes_l2: ClassVar[bool] = True

    learning_rate: LearningRate
    l1: Annotated[
        float, Field(ge=0, le=1000, description="loss term l1·Σ|W| over weights"), Searchable()
    ] = 0.0
    l2: Annotated[
        float, Field(ge=0, le=1000, description="loss term l2/2·ΣW² over weights"), Searchable()
    ] = 0.0
    gradient_clip_norm: Annotated[
        Annotated[float, Field(gt=0, le=1e6)] | None,
        Field(description="largest global norm of the data and penalty gradient"),
        Searchable(),
    ] = None
    schedule: Annotated[
        AnySchedule, Field(description="factor on learning_rate, at every step"), Searchable()
    ] = Constant()

    def rates(
        self, step: NDArray[np.int64], *, n_steps: int, n_epochs: int
    ) -> NDArray[np.float64]:
        """Return the learning rate at each of the coming steps.

        Args:
            step: Number of each step in the trial, from 1.
            n_steps: Steps of an epoch.
            n_epochs: Epochs the trial has at most.
        """
        return self.learning_rate * self.schedule.at((step - 1) / n_steps, n_epochs)

    @abstractmethod
    def coefficients(
        self, learning_rate: NDArray[np.float64], step: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return this lane's coefficients at each of the coming steps, in float64.

        They are cast to the weights' precision last: 1 - beta2 in single precision would be off
        by a hundred thousandth.

        Args:
            learning_rate: At each step.
            step: Number of each step in the trial, from 1.
        """

    @staticmethod
    @abstractmethod
    def update(
        weight: "Tensor",
        gradient: "Tensor",
        buffers: Sequence["Tensor"],
        c: Mapping[str, "Tensor"],
    ) -> None:
        """Take one step in place, all lanes at once.

        Args:
            weight: ``[lanes, ...]``.
            gradient: Its gradient, penalties and clipping included; may be overwritten.
            buffers: The running values in the order of ``buffers``.
            c: Coefficients of this step, ``[lanes, 1, 1]`` each.
        """

    def update_lane(
        self,
        weights: list["Tensor"],
        gradients: list["Tensor"],
        buffers: Sequence[list["Tensor"]],
        *,
        learning_rate: float,
        step: "Tensor",
        l2: float,
    ) -> None:
        """Take the same step for one lane alone, in a single pass over its memory.

        On a CPU it is several times as fast as :meth:`update`, which reads and writes the pack
        once for every operation.

        Args:
            weights: The lane's parameters.
            gradients: Theirs.
            buffers: For each of ``buffers`` its values, in the order of ``weights``.
            learning_rate: Of this step.
            step: Number of this step in the trial, from 1; a single-precision scalar.
            l2: Factor of the l2 term whose gradient is still to be added.
        """
        raise NotImplementedError


def constant(value: Any, step: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return one coefficient that is the same at every step."""
    return np.full(len(step), float(value))
