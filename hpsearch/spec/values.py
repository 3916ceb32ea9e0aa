"""Reading one value: a constant, a range ``{low, high, log?, step?}`` or ``{choices: [...]}``."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hpsearch.spec.kinds import FieldKind
from hpsearch.spec.nodes import Constant, Parameter, Value
from hpsearch.spec.problems import Loc, Problems
from hpsearch.spec.searchspace import encode_list
from hpsearch.spec.space import CategoricalDomain, FloatDomain, IntDomain
from hpsearch.spec.wording import listed, nearest, show

MAX_CHOICES = 1_000
WRONG = object()
"""What stands for a choice that was reported."""
MAX_STEPS = 2**53  # beyond it, neighbouring steps are one float

_RANGE_KEYS = ("low", "high", "log", "step", "per_layer")
_CHOICES_KEYS = ("choices", "per_layer")


class ValueReader:
    """Reads the values of one field; what is wrong goes to ``problems``.

    Args:
        kind: The field.
        problems: Takes what is wrong.
    """

    def __init__(self, kind: FieldKind, problems: Problems) -> None:
        self._kind = kind
        self._problems = problems

    def read(self, raw: Any, loc: Loc, name: str) -> Value | None:
        """Return what the field gets, None if that is wrong.

        Args:
            raw: What the user wrote.
            loc: Where.
            name: The parameter's name, if it is one.
        """
        if not isinstance(raw, dict) or self._kind.complaint(raw) is None:
            return self.constant(raw, loc)
        if self._kind.searchable is None:
            self._problems.add(loc, self._not_searchable(raw), raw)
            return None
        if "choices" in raw:
            return self.choices(raw, loc, name)
        return self.range(raw, loc, name)

    def constant(self, raw: Any, loc: Loc) -> Constant | None:
        """Return a constant, None if the field does not take it."""
        complaint = self._kind.complaint(raw)
        if complaint is not None:
            is_list = isinstance(raw, list) and self._kind.searchable is not None
            hint = "; to try several values write {choices: [...]}" if is_list else ""
            self._problems.add(loc, f"{complaint}{hint}", raw)
            return None
        return Constant(self._kind.normal(raw))

    def range(self, raw: dict[str, Any], loc: Loc, name: str) -> Parameter | None:
        """Return the parameter of a range, None if the range is wrong."""
        if self._kind.number is None:
            options = ", ".join(show(option) for option in self._kind.options or [True, False])
            msg = f"takes no range; list the values, {{choices: [{options}]}}"
            self._problems.add(loc, msg, raw)
            return None
        if not any(key in raw for key in ("low", "high")) and not self._looks_like_range(raw):
            msg = f"must be {self._kind.expectation}, a range {{low, high}} or {{choices: [...]}}"
            self._problems.add(loc, f"{msg}, got {show(raw)}", raw)
            return None
        calls = self._problems.n_calls
        self._only(raw, _RANGE_KEYS, loc, "a range")
        low, high = self._end(raw, "low", loc), self._end(raw, "high", loc)
        log = self._flag(raw, "log", loc)
        step = self._step(raw, loc)
        if calls == self._problems.n_calls:
            self._check_range(low, high, log, step, loc, raw)
        if calls != self._problems.n_calls:
            return None
        if self._kind.number == "int":
            return Parameter(name, IntDomain(low, high, log, step or 1))
        step = None if step is None else float(step)
        return Parameter(name, FloatDomain(float(low), float(high), log, step))

    def _looks_like_range(self, raw: dict[str, Any]) -> bool:
        return any(nearest(key, _RANGE_KEYS) for key in raw)

    def _end(self, raw: dict[str, Any], key: str, loc: Loc) -> Any:
        if key not in raw:
            if any(
                nearest(other, _RANGE_KEYS) == key for other in raw if other not in _RANGE_KEYS
            ):
                return None  # misspelt, and reported as such
            self._problems.add(
                (*loc, key), f"is required: a range has low and high, got {show(raw)}"
            )
            return None
        value = raw[key]
        if not _is_number(value):
            self._problems.add((*loc, key), f"must be a number, got {show(value)}", value)
        else:
            complaint = self._kind.complaint(value)
            if complaint is not None:
                self._problems.add((*loc, key), complaint, value)
        return value

    def _step(self, raw: dict[str, Any], loc: Loc) -> Any:
        if "step" not in raw:
            return None
        step, is_int = raw["step"], self._kind.number == "int"
        kind = "a whole number" if is_int else "a number"
        if not _is_number(step) or (is_int and not isinstance(step, int)) or step <= 0:
            self._problems.add((*loc, "step"), f"must be {kind} above 0, got {show(step)}", step)
        return step

    def _flag(self, raw: dict[str, Any], key: str, loc: Loc) -> bool:
        value = raw.get(key, False)
        if not isinstance(value, bool):
            self._problems.add((*loc, key), f"must be true or false, got {show(value)}", value)
        return value is True

    def _check_range(self, low: Any, high: Any, log: bool, step: Any, loc: Loc, raw: Any) -> None:
        add = self._problems.add
        if low == high:
            add(loc, f"low must be below high; for a constant write {show(low)}", raw)
        elif low > high:
            add(loc, f"low must be below high, got low {show(low)} and high {show(high)}", raw)
        elif float(high) - float(low) == float("inf"):
            add(loc, "is too wide: high - low is no finite number", raw)
            return
        if log and low <= 0:
            add((*loc, "low"), f"must be above 0 when log is true, got {show(low)}", low)
        if log and step is not None:
            add((*loc, "step"), "cannot go with log: true; leave one of them out", step)
        elif step is not None and low < high:
            self._check_steps(low, high, step, loc)

    def _check_steps(self, low: Any, high: Any, step: Any, loc: Loc) -> None:
        n_steps = (_exact(high) - _exact(low)) / _exact(step)
        if n_steps.denominator != 1:
            nearest_high = _exact(low) + int(n_steps) * _exact(step)
            hint = f"; high could be {float(nearest_high):g}" if n_steps > 1 else ""
            msg = f"must divide high - low = {float(_exact(high) - _exact(low)):g}{hint}"
            self._problems.add((*loc, "step"), f"{msg}, got {show(step)}", step)
        elif n_steps > MAX_STEPS and self._kind.number == "float":
            self._problems.add((*loc, "step"), f"is too small for this range: {show(step)}", step)

    def choices(self, raw: dict[str, Any], loc: Loc, name: str) -> Parameter | None:
        """Return the parameter of ``{choices: [...]}``, None if that is wrong."""
        calls = self._problems.n_calls
        self._only(raw, _CHOICES_KEYS, loc, "choices")
        values = self.distinct(raw["choices"], (*loc, "choices"), self._normal_choice)
        if calls != self._problems.n_calls:
            return None
        if any(isinstance(value, list) for value in values):
            texts = tuple(encode_list(value) for value in values)
            return Parameter(name, CategoricalDomain(texts), holds_lists=True)
        return Parameter(name, CategoricalDomain(tuple(values)))

    def _normal_choice(self, value: Any, loc: Loc) -> Any:
        complaint = self._kind.complaint(value)
        if complaint is None and isinstance(value, dict):
            complaint = f"a choice is a plain value here, got {show(value)}"
        if complaint is not None:
            self._problems.add(loc, complaint, value)
            return WRONG
        return self._kind.normal(value)

    def distinct(self, raw: Any, loc: Loc, read: Callable[[Any, Loc], Any]) -> list[Any]:
        """Return the choices of a list; two equal ones are a mistake.

        Args:
            raw: What the user wrote behind ``choices``.
            loc: Where.
            read: Returns one choice as a value, or reports it and returns ``WRONG``.
        """
        if not isinstance(raw, list) or not raw:
            msg = f"must be a list of at least one value, got {show(raw)}"
            self._problems.add(loc, msg, raw)
            return []
        if len(raw) > MAX_CHOICES:
            msg = f"must have at most {MAX_CHOICES:,} choices, got {len(raw):,}"
            self._problems.add(loc, msg, raw)
            return []
        values, seen = [], dict[tuple[bool, str], int]()
        for index, item in enumerate(raw):
            value = read(item, (*loc, index))
            if value is WRONG:
                continue
            key = (isinstance(value, bool), encode_list([value]))
            first = seen.setdefault(key, index)
            if first != index:
                msg = f"choices must be distinct; {show(item)} is also choice {first}"
                self._problems.add((*loc, index), msg, item)
            values.append(value)
        return values

    def _only(self, raw: dict[str, Any], keys: tuple[str, ...], loc: Loc, what: str) -> None:
        for key in raw:
            if key == "per_layer":
                self._check_per_layer(raw[key], (*loc, key))
            elif key not in keys:
                self._problems.add((*loc, key), self._unknown_key(key, keys, what), raw[key])

    def _check_per_layer(self, value: Any, loc: Loc) -> None:
        if not isinstance(value, bool):
            self._problems.add(loc, f"must be true or false, got {show(value)}", value)
        elif value and (self._kind.searchable is None or self._kind.searchable.per_layer is None):
            msg = f"{self._kind.name} has one value for all layers; leave per_layer out"
            self._problems.add(loc, msg, value)

    @staticmethod
    def _unknown_key(key: str, keys: tuple[str, ...], what: str) -> str:
        if key in _RANGE_KEYS or key in _CHOICES_KEYS:
            return (
                f"cannot go with {what}; write either a range {{low, high}} or {{choices: [...]}}"
            )
        meant = nearest(key, keys)
        hint = f"; did you mean {meant}?" if meant else f"; {what} has {listed(keys)}"
        return f"unknown field{hint}"

    def _not_searchable(self, raw: dict[str, Any]) -> str:
        if "low" in raw or "high" in raw or "choices" in raw:
            return (
                f"cannot be searched: it is the same for every trial; "
                f"write {self._kind.expectation}"
            )
        return self._kind.complaint(raw) or f"must be {self._kind.expectation}, got {show(raw)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _exact(value: float) -> Fraction:
    return Fraction(repr(value))
