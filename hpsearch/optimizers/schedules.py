"""Learning-rate schedules: a factor on the learning rate at every step of a trial.

Time is counted in epochs, as a real number: step ``s`` of a trial (from 0) with ``n`` steps an
epoch happens at ``s / n``. During the first ``warmup_epochs`` the factor rises linearly from 0 to
1; from then on it is ``f(t)``, ``t`` being the time since the end of the warm-up.
"""

import math
from abc import ABC, abstractmethod
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.spec.fields import Searchable, Settings

Times = NDArray[np.float64]

_ALMOST = 1e-9  # epochs: a step meant to fall on a boundary is behind it, whatever the rounding

_Floor = Annotated[
    float, Field(ge=0, le=1, description="lowest factor, the floor of the curve"), Searchable()
]


class Schedule(Settings, ABC):
    """How the learning rate of one trial changes with time."""

    warmup_epochs: Annotated[
        float, Field(ge=0, lt=100_000, description="linear from 0 to 1"), Searchable()
    ] = 0.0

    def at(self, time: Times, n_epochs: int) -> Times:
        """Return the factors on the learning rate.

        Args:
            time: Epochs since the trial's first step.
            n_epochs: Epochs the trial has at most.
        """
        warmup = self.warmup_epochs
        factor = self.after_warmup(np.maximum(time - warmup, 0.0), n_epochs - warmup)
        return np.where(time < warmup, time / warmup, factor) if warmup else factor

    @abstractmethod
    def after_warmup(self, t: Times, n_epochs: float) -> Times:
        """Return ``f(t)``.

        Args:
            t: Epochs since the end of the warm-up.
            n_epochs: Epochs from there to the end of the trial.
        """


class Constant(Schedule):
    """f(t) = 1."""

    name: Literal["constant"] = "constant"

    def after_warmup(self, t: Times, n_epochs: float) -> Times:  # noqa: ARG002 - the interface
        """Return ones."""
        return np.ones_like(t)


class Step(Schedule):
    """f(t) = factor^floor(t / every_epochs)."""

    name: Literal["step"] = "step"
    factor: Annotated[float, Field(gt=0, le=1, description="of every step down"), Searchable()] = (
        0.1
    )
    every_epochs: Annotated[
        int,
        Field(ge=1, le=100_000, description="epochs from one step down to the next"),
        Searchable(),
    ] = 10

    def after_warmup(self, t: Times, n_epochs: float) -> Times:  # noqa: ARG002 - the interface
        """Return a staircase."""
        return self.factor ** np.floor((t + _ALMOST) / self.every_epochs)


class Exponential(Schedule):
    """f(t) = factor^t."""

    name: Literal["exponential"] = "exponential"
    factor: Annotated[float, Field(gt=0, le=1, description="of every epoch"), Searchable()] = 0.95

    def after_warmup(self, t: Times, n_epochs: float) -> Times:  # noqa: ARG002 - the interface
        """Return a smooth decay."""
        return np.power(self.factor, t)


class InverseTime(Schedule):
    """f(t) = 1 / (1 + rate·t)."""

    name: Literal["inverse_time"] = "inverse_time"
    rate: Annotated[
        float, Field(ge=0, le=1000, description="how fast it falls, per epoch"), Searchable()
    ] = 0.1

    def after_warmup(self, t: Times, n_epochs: float) -> Times:  # noqa: ARG002 - the interface
        """Return a hyperbola."""
        return 1 / (1 + self.rate * t)


class Cosine(Schedule):
    """Half a cosine from 1 to ``min_factor``, which it reaches as the trial's epochs end."""

    name: Literal["cosine"] = "cosine"
    min_factor: _Floor = 0.0

    def after_warmup(self, t: Times, n_epochs: float) -> Times:
        """Return the half wave, and its floor behind it."""
        return _half_wave(t / max(n_epochs, _ALMOST), self.min_factor)


class Cyclical(Schedule):
    """A triangle from ``min_factor`` up to 1 and down again, over and over."""

    name: Literal["cyclical"] = "cyclical"
    min_factor: _Floor = 0.1
    cycle_epochs: Annotated[
        float,
        Field(gt=0, le=100_000, description="epochs of a triangle, low-high-low"),
        Searchable(),
    ] = 5.0

    def after_warmup(self, t: Times, n_epochs: float) -> Times:  # noqa: ARG002 - the interface
        """Return the triangles."""
        phase: Times = np.mod(t / self.cycle_epochs, 1.0)
        triangle: Times = 1 - np.abs(2 * phase - 1)
        return self.min_factor + (1 - self.min_factor) * triangle


class WarmRestarts(Schedule):
    """Half a cosine from 1 to ``min_factor``, begun again at the end of each, longer, cycle."""

    name: Literal["warm_restarts"] = "warm_restarts"
    min_factor: _Floor = 0.0
    cycle_epochs: Annotated[
        float,
        Field(gt=0, le=100_000, description="epochs before the first restart"),
        Searchable(),
    ] = 5.0
    cycle_mult: Annotated[
        int,
        Field(ge=1, le=10, description="each cycle is so many times the one before"),
        Searchable(),
    ] = 1

    def after_warmup(self, t: Times, n_epochs: float) -> Times:  # noqa: ARG002 - the interface
        """Return the half wave of the cycle that each moment lies in."""
        cycles = t / self.cycle_epochs  # in units of the first one
        growth = self.cycle_mult
        if growth == 1:
            begin: Times = np.floor(cycles + _ALMOST)
            length: Times = np.ones_like(t)
        else:
            number = np.floor(np.log1p(cycles * (growth - 1)) / math.log(growth) + _ALMOST)
            length = np.power(float(growth), number)
            begin = (length - 1) / (growth - 1)
        phase: Times = np.maximum(cycles - begin, 0.0) / length
        return _half_wave(phase, self.min_factor)


def _half_wave(phase: Times, floor: float) -> Times:
    """Return half a cosine, from 1 at phase 0 to ``floor`` at phase 1 and beyond."""
    return floor + (1 - floor) * 0.5 * (1 + np.cos(np.pi * np.minimum(phase, 1.0)))


AnySchedule = Annotated[
    Constant | Step | Exponential | InverseTime | Cosine | Cyclical | WarmRestarts,
    Field(discriminator="name"),
]
"""Every schedule there is, told apart by ``name``."""
