"""What a user hands over as a study definition: a mapping, a YAML text, or a file."""

import dataclasses
import json
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
        text: The text it was read from, if there is one.
        lines: Where each field stands in the text.
    """

    document: Any
    text: bytes | None = None
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

        Raises:
            InvalidDefinition: A mapping holds values that JSON cannot carry.
        """
        try:
            return json.dumps(self.document, allow_nan=False).encode(), "application/json"
        except (TypeError, ValueError):
            if self.text is not None:  # `.nan` and the like: the server names all errors at once
                return self.text, "application/yaml"
            raise InvalidDefinition(_not_json(self.document, ())) from None

    def located(self, error: InvalidDefinition) -> InvalidDefinition:
        """Return the error with the lines of the text its fields stand in."""
        if self.lines is None:
            return error
        return InvalidDefinition(
            [
                e if e.line is not None else dataclasses.replace(e, line=self.lines.line_of(e.loc))
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
    return Draft(document, text, lines)


def _not_json(value: Any, loc: tuple[str | int, ...]) -> list[FieldError]:
    if isinstance(value, Mapping):
        return [e for key, child in value.items() for e in _not_json(child, (*loc, str(key)))]
    if isinstance(value, list | tuple):
        return [e for i, child in enumerate(value) for e in _not_json(child, (*loc, i))]
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return [FieldError(loc, "must be a finite number", repr(value))]
    except TypeError:
        return [FieldError(loc, "must be a JSON value", repr(value)[:200])]
    return []
