"""Views as JSON: RFC 3339 times, no NaN, every object says which of its numbers were none."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any

from starlette.responses import Response

from hpsearch.spec.views import EpochView


def plain(value: Any) -> Any:
    """Return ``value`` as JSON-ready dicts, lists and scalars.

    A non-finite number becomes null, and its object gets ``"nonfinite": {"val_loss": "inf"}``.
    Times must be aware; they come out in UTC with ``Z``.
    """
    if value is None or isinstance(value, bool | int | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return _object((str(key), item) for key, item in value.items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object((name, getattr(value, name)) for name in _field_names(type(value)))
    return [plain(item) for item in value]


def epoch(view: EpochView, *, with_number: bool) -> dict[str, Any]:
    """Return one epoch as its flat object.

    Args:
        view: The epoch.
        with_number: Whether the trial's number belongs in, as in lists over many trials.
    """
    number = {"number": view.number} if with_number else {}
    row: dict[str, Any] = plain({**number, "epoch": view.epoch, **view.metrics})
    return row


class JsonResponse(Response):
    """A JSON answer; text that is no Unicode is replaced, never a crash."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return ``content`` (see :func:`plain`) as UTF-8."""
        return json_text(content).encode("utf-8", "replace")


class TextResponse(Response):
    """A JSON answer whose text is there already."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the text as UTF-8."""
        return bytes(content.encode("utf-8", "replace"))


def json_text(content: Any) -> str:
    """Return ``content`` (see :func:`plain`) as compact JSON text."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@cache
def _field_names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


def _object(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    nonfinite: dict[str, str] = {}
    for key, item in items:
        result[key] = plain(item)
        if isinstance(item, float) and not math.isfinite(item):
            nonfinite[key] = str(item)
    if nonfinite:
        result["nonfinite"] = nonfinite
    return result
