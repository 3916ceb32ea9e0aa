"""What any definition must be before its fields are looked at: plain, finite, not too large."""

import math
from typing import Any

from hpsearch.spec.problems import Loc, Problems
from hpsearch.spec.wording import show

MAX_DEPTH = 20  # levels; the grammar needs nine
MAX_NODES = 50_000  # values; fifty fields of 1,000 choices each
MAX_KEY_LENGTH = 100  # characters; the longest field name has 22
MAX_INT = 2**63 - 1  # what databases and numpy hold


class TooLargeError(Exception):
    """The value has more than ``MAX_NODES`` parts."""


def clean(raw: object, problems: Problems) -> Any:
    """Return ``raw`` with everything that is no sound JSON replaced by None, and reported.

    Later complaints about a reported place are dropped, so that one mistake gives one error.

    Args:
        raw: Anything.
        problems: Takes NaN, infinity, integers beyond 64 bits, keys that are no text, text
            that cannot be stored, nesting beyond ``MAX_DEPTH`` and foreign objects.

    Raises:
        TooLargeError: There are more than ``MAX_NODES`` values.
    """
    return _Cleaner(problems).value(raw, ())


class _Cleaner:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._left = MAX_NODES

    def value(self, raw: object, loc: Loc) -> Any:
        self._left -= 1
        if self._left < 0:
            raise TooLargeError
        complaint = _complaint(raw)
        if complaint is None and len(loc) >= MAX_DEPTH and isinstance(raw, dict | list):
            complaint = f"is nested more than {MAX_DEPTH} levels deep"
        if complaint is not None:
            self._problems.block(loc, complaint, raw)
            return None
        if isinstance(raw, dict):
            return self._object(raw, loc)
        if isinstance(raw, list):
            return [self.value(item, (*loc, index)) for index, item in enumerate(raw)]
        return raw

    def _object(self, raw: dict[Any, Any], loc: Loc) -> dict[str, Any]:
        result = {}
        for key, item in raw.items():
            complaint = _key_complaint(key)
            if complaint is None:
                result[key] = self.value(item, (*loc, key))
            else:
                self._problems.block((*loc, show(key, 40)), complaint, key)
        return result


def _complaint(raw: object) -> str | None:
    if raw is None or isinstance(raw, bool | dict | list):
        return None
    if isinstance(raw, int):
        return None if abs(raw) <= MAX_INT else f"must be a number of 64 bits, got {show(raw)}"
    if isinstance(raw, float):
        return None if math.isfinite(raw) else f"must be a finite number, got {show(raw)}"
    if isinstance(raw, str):
        return _text_complaint(raw)
    return f"must be a JSON value, got a {type(raw).__name__}"


def _text_complaint(text: str) -> str | None:
    if "\0" in text:
        return "must not contain the NUL character"
    if not is_encodable(text):
        return "must be valid Unicode text; it holds half of a surrogate pair"
    return None


def is_encodable(text: str) -> bool:
    """Return whether the text can be written as UTF-8 (no lone surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _key_complaint(key: object) -> str | None:
    if not isinstance(key, str):
        return f"field names are text, got {show(key)}"
    if len(key) > MAX_KEY_LENGTH:
        return f"field names have at most {MAX_KEY_LENGTH} characters, got {len(key):,}"
    return _text_complaint(key)
