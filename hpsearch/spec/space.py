"""Domains of single parameters, and the values they take."""

import json
import math
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

    @property
    def size(self) -> int | None:
        """How many values there are, None for a continuum."""
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def checked(self, value: object) -> float:
        """Return the value as a float.

        Raises:
            ValueError: It is no number of this domain; the message says what is.
        """
        expected = f"a number from {self.low:g} to {self.high:g}"
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"must be {expected}")
        if not self.low <= value <= self.high:
            raise ValueError(f"must be {expected}")
        if self.step is not None:
            steps = (value - self.low) / self.step
            if not math.isclose(steps, round(steps), rel_tol=1e-9, abs_tol=1e-8):
                raise ValueError(f"must be {expected} in steps of {self.step:g}")
        return float(value)


@dataclass(frozen=True, slots=True)
class IntDomain:
    """Integers from ``low`` to ``high``, both included, ``step`` apart."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    @property
    def size(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    def checked(self, value: object) -> int:
        """Return the value.

        Raises:
            ValueError: It is no integer of this domain; the message says what is.
        """
        steps = f" in steps of {self.step}" if self.step != 1 else ""
        message = f"must be a whole number from {self.low} to {self.high}{steps}"
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(message)
        if not self.low <= value <= self.high or (value - self.low) % self.step:
            raise ValueError(message)
        return value


@dataclass(frozen=True, slots=True)
class CategoricalDomain:
    """A finite set of values without order."""

    choices: tuple[ParameterValue, ...]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.choices)

    def checked(self, value: object) -> ParameterValue:
        """Return the choice that equals the value; ``true`` equals no number.

        Raises:
            ValueError: No choice does; the message lists them.
        """
        for choice in self.choices:
            if isinstance(choice, bool) is isinstance(value, bool) and choice == value:
                return choice
        names = [json.dumps(choice) for choice in self.choices[:20]]
        more = f" ... ({len(self.choices)} in all)" if len(self.choices) > len(names) else ""
        raise ValueError(f"must be one of {', '.join(names)}{more}")


Domain = FloatDomain | IntDomain | CategoricalDomain
