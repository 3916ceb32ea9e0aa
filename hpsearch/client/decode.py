"""From the JSON of the server to the frozen views of ``hpsearch.spec.views``."""

import json
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from hpsearch.errors import BrokenInvariant
from hpsearch.spec.views import EpochView

View = TypeVar("View")


def parse_json(text: str | bytes) -> Any:
    """Return the JSON value, with non-finite numbers back in their places.

    JSON has no NaN or Infinity: the server sends ``null`` plus ``"nonfinite": {"val_loss":
    "inf"}`` in the same object.
    """
    return json.loads(text, object_hook=_restore_nonfinite)


def decode(view: type[View], value: Any) -> View:
    """Return ``value`` as a view; fields this client does not know are left out.

    Raises:
        BrokenInvariant: The server speaks another version of the contract.
    """
    try:
        decoded: View = _adapter(view).validate_python(value)  # type: ignore[arg-type]  # hashable
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BrokenInvariant(
            f"the server's {view.__name__} cannot be read at {where!r} ({first['msg']}): "
            "client and server are of different versions"
        ) from error
    return decoded


def decode_epoch(value: dict[str, Any], number: int | None = None) -> EpochView:
    """Return one epoch of a trial; ``number`` is the trial's where the row does not tell."""
    try:
        return EpochView(
            number=int(value["number"] if number is None else number),
            epoch=int(value["epoch"]),
            metrics={
                name: float(metric)
                for name, metric in value.items()
                if name not in {"number", "epoch"} and metric is not None
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenInvariant(f"the server's epoch cannot be read: {value!r}") from error


def _restore_nonfinite(value: dict[str, Any]) -> dict[str, Any]:
    nonfinite = value.get("nonfinite")
    if isinstance(nonfinite, dict) and all(isinstance(text, str) for text in nonfinite.values()):
        value = {**value, **{name: float(text) for name, text in nonfinite.items()}}
        del value["nonfinite"]
    return value


@cache
def _adapter(view: Any) -> TypeAdapter[Any]:
    return TypeAdapter(view)
