"""Column types that mean the same on SQLite and PostgreSQL."""

# ruff: noqa: ARG002 - the signatures are SQLAlchemy's

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def dump_json(value: Any) -> str:
    """Return compact JSON text.

    Raises:
        ValueError: The value holds NaN or Infinity, which JSON does not know.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored as naive UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the naive UTC time to store."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the aware time that was stored."""
        return None if value is None else value.replace(tzinfo=UTC)


class Json(TypeDecorator[Any]):
    """A JSON document in a text column; never NaN or Infinity."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return compact JSON text; None stays SQL NULL."""
        return None if value is None else dump_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the document."""
        return None if value is None else json.loads(value)


class Metrics(TypeDecorator[Mapping[str, float]]):
    """Floats by name; a non-finite one is kept as the text ``nan``, ``inf`` or ``-inf``."""

    impl = Text
    cache_ok = True

    def process_bind_param(
        self, value: Mapping[str, float] | None, dialect: Dialect
    ) -> str | None:
        """Return compact JSON text."""
        if value is None:
            return None
        return json.dumps(
            {
                name: number if math.isfinite(number) else str(float(number))
                for name, number in value.items()
            },
            separators=(",", ":"),
        )

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, float] | None:
        """Return the floats."""
        if value is None:
            return None
        return {
            name: _NON_FINITE[number] if isinstance(number, str) else float(number)
            for name, number in json.loads(value).items()
        }
