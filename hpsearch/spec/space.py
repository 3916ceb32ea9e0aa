"""Domains of single parameters, and the values they take."""

from dataclasses import dataclass

ParameterValue = None | bool | int | float | str
"""One drawn value, as Optuna and JSON know it. A list as a choice is its compact JSON text."""


@dataclass(frozen=True, slots=True)
class FloatDomain:
    """Real numbers from ``low`` to ``high``, both included.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Draw uniformly in the logarithm.
        step: Distance of neighbouring values, or None for a continuum.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True, slots=True)
class IntDomain:
    """Integers from ``low`` to ``high``, both included, ``step`` apart."""

    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True, slots=True)
class CategoricalDomain:
    """A finite set of values without order."""

    choices: tuple[ParameterValue, ...]


Domain = FloatDomain | IntDomain | CategoricalDomain
