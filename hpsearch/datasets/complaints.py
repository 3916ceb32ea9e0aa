"""What is wrong with an upload: collected, so that one answer tells all of it."""

from typing import Any, NoReturn

from hpsearch.errors import FieldError, RequestInvalid

MAX_COMPLAINTS = 50
"""More than this is one mistake repeated."""


class Complaints:
    """Collects what is wrong with a file."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def add(self, where: str, message: str, came: Any = None, line: int | None = None) -> None:
        """Remember one mistake.

        Args:
            where: The column or array.
            message: What was expected.
            came: What came instead.
            line: In the file, from 1.

        Raises:
            RequestInvalid: There are enough of them.
        """
        self._errors.append(FieldError((where,), message, came, line))
        if len(self._errors) >= MAX_COMPLAINTS:
            self.raise_if_any()

    def raise_if_any(self) -> None:
        """Return if nothing is wrong.

        Raises:
            RequestInvalid: Everything that is.
        """
        if self._errors:
            raise RequestInvalid(self._errors)


def refuse(where: str, message: str, came: Any = None, line: int | None = None) -> NoReturn:
    """Refuse a file for one mistake that hides all others.

    Raises:
        RequestInvalid: Always.
    """
    raise RequestInvalid([FieldError((where,), message, came, line)])
