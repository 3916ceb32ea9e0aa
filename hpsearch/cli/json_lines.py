"""Views as JSON for programs: UTC times, the shapes of the API."""

import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hpsearch.spec.views import EpochView


def print_json(value: Any) -> None:
    """Write a view, or a container of views, as one line on standard output."""
    sys.stdout.write(json.dumps(to_json(value), allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def to_json(value: Any) -> Any:
    """Return ``value`` as plain JSON types.

    A non-finite number is null, and named in ``nonfinite`` of the same object.
    """
    if isinstance(value, EpochView):
        return to_json({"number": value.number, "epoch": value.epoch, **value.metrics})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return to_json({field.name: getattr(value, field.name) for field in fields})
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def _object(value: Mapping[Any, Any]) -> dict[str, Any]:
    nonfinite = {
        str(name): str(item)
        for name, item in value.items()
        if isinstance(item, float) and not math.isfinite(item)
    }
    plain = {
        str(name): None if name in nonfinite else to_json(item) for name, item in value.items()
    }
    return {**plain, "nonfinite": nonfinite} if nonfinite else plain
