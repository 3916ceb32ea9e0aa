"""A collector of wrong fields, so that one answer names them all."""

from typing import Any

from hpsearch.errors import FieldError, InvalidDefinition
from hpsearch.spec.wording import portable
from hpsearch.spec.yaml import LineIndex, Loc

MAX_ERRORS = 500  # enough for any reader; bounds the answer to a hostile definition

__all__ = ["Loc", "Problems"]


class Problems:
    """Wrong fields found so far, in the order found, each once.

    Args:
        lines: Where things stand in the YAML text, if there is one.
    """

    def __init__(self, lines: LineIndex | None = None) -> None:
        self._lines = lines
        self._errors: dict[tuple[Loc, str], FieldError] = {}
        self._blocked: set[Loc] = set()
        self.n_calls = 0

    def add(self, loc: Loc, msg: str, value: Any = None) -> None:
        """Remember that something is wrong at ``loc``, unless it hangs on a blocked place."""
        self.n_calls += 1
        if any(loc[:length] in self._blocked for length in range(len(loc) + 1)):
            return
        line = self._lines.line_of(loc) if self._lines else None
        self._errors.setdefault((loc, msg), FieldError(loc, msg, portable(value), line))

    def block(self, loc: Loc, msg: str, value: Any) -> None:
        """Remember a wrong value, and ignore whatever else is said of it."""
        self.add(loc, msg, value)
        self._blocked.add(loc)

    def raise_if_any(self) -> None:
        """Raise all that was found.

        Raises:
            InvalidDefinition: Something was found.
        """
        if not self._errors:
            return
        errors = list(self._errors.values())
        if len(errors) > MAX_ERRORS:
            more = FieldError((), f"{len(errors) - MAX_ERRORS:,} more errors are not listed")
            errors = [*errors[:MAX_ERRORS], more]
        raise InvalidDefinition(errors)
