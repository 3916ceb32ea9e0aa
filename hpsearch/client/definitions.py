"""What a user hands over as a study definition: a mapping, a YAML text, or a file."""

import dataclasses
import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.errors import FieldError, InvalidDefinition, MalformedBody
from hpsearch.spec.yaml import LineIndex, load_yaml

Source = Mapping[str, Any] | str | Path
"""A definition as a mapping, as YAML (or JSON) text, or as the path of a file with such text."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A definition as the user wrote it, not yet checked.

    Attributes:
        document: The value as read.
        lines: Where each field stands in the text, if there is one.
    """

    document: Any
    lines: LineIndex | None = None

    @property
    def name(self) -> str | None:
        """The name the study asks for."""
        name = self.document.get("name") if isinstance(self.document, dict) else None
        return name if isinstance(name, str) else None

    def renamed(self, name: str) -> "Draft":
        """Return the same definition under another name."""
        return dataclasses.replace(self, document={**self.document, "name": name})

    def body(self) -> tuple[bytes, str]:
        """Return the bytes to send and their media type.

        JSON has no NaN and no Infinity; the server is to name such a value beside all other
        mistakes, so that it goes there as YAML.

        Raises:
            InvalidDefinition: A mapping holds what neither can carry.
        """
        try:
            return json.dumps(self.document, allow_nan=False).encode(), "application/json"
        except ValueError:
            return _flow_yaml(self.document), "application/yaml"
        except TypeError:
            raise InvalidDefinition(_foreign(self.document, ())) from None

    def located(self, error: InvalidDefinition) -> InvalidDefinition:
        """Return the error with the lines of the text its fields stand in."""
        return InvalidDefinition(
            [
                dataclasses.replace(e, line=self.lines.line_of(e.loc) if self.lines else None)
                for e in error.errors
            ]
        )


def read_draft(source: Source) -> Draft:
    """Return the definition of ``source``; a file without a name is named by its stem.

    Raises:
        MalformedBody: The text is not YAML, or the file cannot be read.
    """
    if isinstance(source, Mapping):
        return Draft(dict(source))
    try:
        text = source.encode() if isinstance(source, str) else source.read_bytes()
    except OSError as error:
        raise MalformedBody(f"cannot read {source}: {error.strerror}") from error
    document, lines = load_yaml(text)
    if isinstance(source, Path) and isinstance(document, dict) and "name" not in document:
        document = {"name": source.stem, **document}
    return Draft(document, lines)


def _flow_yaml(document: Any) -> bytes:
    """Return JSON text, which is YAML, with ``.nan`` and ``.inf`` where JSON has no word."""
    mark = f"nonfinite-{uuid.uuid4().hex}:"

    def marked(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: marked(child) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [marked(child) for child in value]
        is_nonfinite = isinstance(value, float) and not math.isfinite(value)
        return f"{mark}{value}" if is_nonfinite else value

    text = json.dumps(marked(document))
    for word in ("nan", "inf", "-inf"):
        sign, name = word[: -len("inf")], word[-len("inf") :]
        text = text.replace(f'"{mark}{word}"', f"{sign}.{name}")
    return text.encode()


def _foreign(value: Any, loc: tuple[str | int, ...]) -> list[FieldError]:
    if isinstance(value, Mapping):
        return [e for key, child in value.items() for e in _foreign(child, (*loc, str(key)))]
    if isinstance(value, list | tuple):
        return [e for i, child in enumerate(value) for e in _foreign(child, (*loc, i))]
    if value is None or isinstance(value, str | int | float):
        return []
    kind = type(value).__name__
    return [FieldError(loc, f"must be text, a number, a list or a mapping, got {kind}")]
