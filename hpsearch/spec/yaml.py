"""YAML and JSON text as plain values: one document, nothing hidden, lines remembered."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from hpsearch.errors import BrokenInvariant, MalformedBody

Loc = tuple[str | int, ...]

MAX_DEPTH = 64  # levels; a guard of the stack, the grammar's own limit is lower
MAX_VALUES = 100_000  # about three seconds of parsing YAML
MAX_DIGITS = 1_000  # of one number; Python refuses to convert more than 4,300

# The core schema of YAML 1.2, chapter 10.3.2.
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class LineIndex:
    """On which line of the text each key and list entry stands, from 1."""

    lines: Mapping[Loc, int]

    def line_of(self, loc: Loc) -> int | None:
        """Return the line of a key or entry, None if the text has no such place."""
        return self.lines.get(loc)


def load_yaml(text: str | bytes) -> tuple[object, LineIndex]:
    """Return the one document of a YAML 1.2 text, and its lines.

    Plain scalars follow the core schema: ``1e-4`` is a number, ``off`` and ``1:30`` are texts.
    Keys are texts, as in JSON.

    Raises:
        MalformedBody: The text is no YAML, is empty, holds several documents, duplicate keys,
            anchors, aliases or tags, or is too deep or too large. The message names the line.
    """
    events = YAML(typ="safe", pure=True).parse(_decode(text))
    try:
        return _Builder(events).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "it cannot be read"
        _refuse(f"this is no valid YAML: {what}", mark.line + 1 if mark else None, error)
    except YAMLError as error:
        _refuse(f"this is no valid YAML: {str(error).splitlines()[0]}", None, error)
    except (ValueError, IndexError, AttributeError, OverflowError) as error:
        # what the scanner lets through on broken escapes and directives
        _refuse(f"this is no valid YAML: {error}", None, error)


def load_json(text: str | bytes) -> object:
    """Return the value of a JSON text.

    Raises:
        MalformedBody: The text is no JSON, is empty, holds NaN, Infinity or duplicate keys, or
            is too deep or too large.
    """
    content = _decode(text)
    try:
        value = json.loads(
            content,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_parse_int,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedBody(f"this is no valid JSON: {error.msg} ({where})") from error
    except RecursionError as error:
        raise MalformedBody("the JSON is nested too deeply") from error
    _measure(value)
    return value


def _decode(text: str | bytes) -> str:
    try:
        content = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the text is not UTF-8: byte {error.start} is invalid") from error
    if not content.strip():
        raise MalformedBody("the text is empty; expected a study definition")
    return content


def _refuse(message: str, line: int | None, cause: Exception | None = None) -> NoReturn:
    raise MalformedBody(message if line is None else f"{message} (line {line})") from cause


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise MalformedBody(f"the key {_quoted(twice)} stands twice in one object")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedBody(f"{name} is no JSON number; numbers must be finite")


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise MalformedBody(f"a number of {len(digits):,} digits is too long")
    return int(digits)


def _measure(value: object) -> None:
    level, depth, n_values = [value], 0, 0
    while level:
        n_values += len(level)
        if depth > MAX_DEPTH:
            raise MalformedBody(f"the JSON is nested more than {MAX_DEPTH} levels deep")
        if n_values > MAX_VALUES:
            raise MalformedBody(f"the JSON holds more than {MAX_VALUES:,} values")
        depth += 1
        level = [item for parent in level for item in _children(parent)]


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _quoted(key: str) -> str:
    return json.dumps(key if len(key) <= 60 else f"{key[:57]}...")


class _Builder:
    """Plain values out of parser events; refuses what a definition must not use."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._lines: dict[Loc, int] = {}
        self._n_values = 0

    def document(self) -> tuple[object, LineIndex]:
        next(self._events)  # the start of the stream
        start = next(self._events)
        if not isinstance(start, DocumentStartEvent):
            _refuse("the text is empty; expected a study definition", None)
        value = self._value(next(self._events), ())
        next(self._events)  # the end of the document
        following = next(self._events)
        if isinstance(following, DocumentStartEvent):
            _refuse("expected one document, but a second one starts", _line(following))
        return value, LineIndex(self._lines)

    def _value(self, event: Event, loc: Loc) -> object:
        self._check(event, loc)
        if isinstance(event, MappingStartEvent):
            return self._mapping(loc)
        if isinstance(event, ScalarEvent):
            return _scalar(event)
        return self._sequence(loc)

    def _check(self, event: Event, loc: Loc) -> None:
        if isinstance(event, AliasEvent):
            _refuse(f"aliases (*{event.anchor}) are not allowed; write it out", _line(event))
        if not isinstance(event, NodeEvent):
            raise BrokenInvariant(f"the YAML parser gave {event}")
        if event.anchor is not None:
            _refuse(f"anchors (&{event.anchor}) are not allowed", _line(event))
        tag = getattr(event, "tag", None)
        if tag is not None:
            _refuse(f"tags ({tag}) are not allowed", _line(event))
        if isinstance(event, CollectionStartEvent) and len(loc) >= MAX_DEPTH:
            _refuse(f"the text is nested more than {MAX_DEPTH} levels deep", _line(event))
        self._n_values += 1
        if self._n_values > MAX_VALUES:
            _refuse(f"the text holds more than {MAX_VALUES:,} values", _line(event))

    def _mapping(self, loc: Loc) -> dict[str, object]:
        result: dict[str, object] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            self._check(event, loc)
            if not isinstance(event, ScalarEvent):
                _refuse("a key must be text, not an object or a list", _line(event))
            if event.value in result:
                _refuse(f"the key {_quoted(event.value)} stands twice", _line(event))
            self._lines[(*loc, event.value)] = _line(event)
            result[event.value] = self._value(next(self._events), (*loc, event.value))
        return result

    def _sequence(self, loc: Loc) -> list[object]:
        result: list[object] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            self._lines[(*loc, len(result))] = _line(event)
            result.append(self._value(event, (*loc, len(result))))
        return result


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1


def _scalar(event: ScalarEvent) -> object:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            _refuse(f"a number of {len(text):,} digits is too long", _line(event))
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text
