"""What a field of a settings class accepts, learned from its annotation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from hpsearch.errors import BrokenInvariant
from hpsearch.spec.fields import MISSING, Searchable, Settings
from hpsearch.spec.wording import expectation, nearest, show


@dataclass(frozen=True, slots=True)
class FieldKind:
    """One field as the grammar sees it.

    Attributes:
        name: The field's name.
        adapter: Checks one value; of a per-layer field, the value of one layer.
        schema: JSON schema of one value, without references.
        number: Whether ranges are of ``int`` or ``float``; None if there are no ranges.
        searchable: The mark, None if the field is the same for every trial.
        nested: The class, if the field holds a section of its own.
        plugins: The classes by name, if the field holds one of several sections, each with a
            ``name``; they may be listed as branches.
        default: What an absent field stands for, JSON-ready; MISSING if it must be given.
        description: What the field is for.
    """

    name: str
    adapter: TypeAdapter[Any]
    schema: Mapping[str, Any]
    number: Literal["int", "float"] | None
    searchable: Searchable | None
    nested: type[Settings] | None
    plugins: Mapping[str, type[Settings]] | None
    default: Any
    description: str | None

    @property
    def expectation(self) -> str:
        """What the field takes, in words."""
        return expectation(self.schema)

    @property
    def options(self) -> list[Any] | None:
        """The values of an enumeration, None for any other field."""
        return next((option["enum"] for option in _options(self.schema) if "enum" in option), None)

    def accepts_null(self) -> bool:
        """Return whether ``null`` is a value of the field."""
        return any(option.get("type") == "null" for option in _options(self.schema))

    def complaint(self, value: Any) -> str | None:
        """Return what is wrong with a JSON value as a constant, None if nothing is."""
        try:
            self.adapter.validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] in {"value_error", "assertion_error"}:
                return str(first["ctx"]["error"])
            rule = (
                f" ({self.description})" if "pattern" in self.schema and self.description else ""
            )
            return f"must be {self.expectation}{rule}, got {show(value)}{self._hint(value)}"
        return None

    def normal(self, value: Any) -> Any:
        """Return a valid JSON value in the field's own type, JSON-ready (1 becomes 1.0)."""
        parsed = self.adapter.validate_json(json.dumps(value), strict=True)
        return self.adapter.dump_python(parsed, mode="json")

    def _hint(self, value: Any) -> str:
        if isinstance(value, str):
            if self.number is not None and _is_number(value):
                return "; write the number without quotes"
            meant = nearest(value, [str(option) for option in self.options or ()])
            return f"; did you mean {meant}?" if meant else ""
        return ""


@cache
def fields_of(settings: type[Settings]) -> Mapping[str, FieldKind]:
    """Return the fields of a settings class, in the order of the class.

    Raises:
        BrokenInvariant: A per-layer field is no tuple of one type, or has no depth beside it.
    """
    kinds = {name: _kind(settings, name, info) for name, info in settings.model_fields.items()}
    for kind in kinds.values():
        depth = kind.searchable.per_layer if kind.searchable else None
        if depth is not None and (depth not in kinds or kinds[depth].number != "int"):
            raise BrokenInvariant(
                f"{settings.__qualname__}.{kind.name}: {depth!r} is no whole-number field"
            )
    return kinds


def _kind(settings: type[Settings], name: str, info: FieldInfo) -> FieldKind:
    searchable = next((item for item in info.metadata if isinstance(item, Searchable)), None)
    annotation: Any = info.annotation
    metadata = [item for item in info.metadata if not isinstance(item, Searchable)]
    is_per_layer = searchable is not None and searchable.per_layer is not None
    if is_per_layer:
        annotation, metadata = _layer_type(settings, name, annotation), []
    plugins = _plugins(annotation)
    nested = None if plugins else _nested(annotation)
    if metadata:
        annotation = Annotated[(annotation, *metadata)]
    if nested is None and plugins is None:
        config = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=config)
    else:
        adapter = TypeAdapter(annotation)
    schema = _without_references(adapter.json_schema())
    return FieldKind(
        name=name,
        adapter=adapter,
        schema=schema,
        number=_number(schema),
        searchable=searchable,
        nested=nested,
        plugins=plugins,
        default=_default(info, adapter, searchable),
        description=info.description,
    )


def _layer_type(settings: type[Settings], name: str, annotation: Any) -> Any:
    arguments = get_args(annotation)
    if get_origin(annotation) is not tuple or len(arguments) != 2 or arguments[1] is not Ellipsis:
        raise BrokenInvariant(
            f"{settings.__qualname__}.{name} is per layer and must be a tuple[T, ...]"
        )
    return arguments[0]


def _nested(annotation: Any) -> type[Settings] | None:
    for option in (annotation, *(get_args(annotation))):
        if isinstance(option, type) and option is not NoneType and issubclass(option, Settings):
            return option
    return None


def _plugins(annotation: Any) -> Mapping[str, type[Settings]] | None:
    """Return the members of a union of sections by their names, None for anything else."""
    options = get_args(annotation)
    is_union = len(options) > 1 and all(
        isinstance(option, type) and issubclass(option, Settings) for option in options
    )
    return (
        {str(fields_of(option)["name"].default): option for option in options}
        if is_union
        else None
    )


def _number(schema: Mapping[str, Any]) -> Literal["int", "float"] | None:
    plain = {
        option.get("type")
        for option in _options(schema)
        if "enum" not in option and "const" not in option
    }
    return "float" if "number" in plain else "int" if "integer" in plain else None


def _options(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(schema.get("anyOf", [schema]))


def _default(info: FieldInfo, adapter: TypeAdapter[Any], searchable: Searchable | None) -> Any:
    if searchable is not None and searchable.default is not MISSING:
        return adapter.dump_python(searchable.default, mode="json")
    if info.is_required():
        return MISSING
    value = info.get_default(call_default_factory=True)
    if searchable is not None and searchable.per_layer is not None:
        value = value[0] if value else MISSING
    if value is MISSING:
        return MISSING
    dumped = adapter.dump_python(value, mode="json")
    if isinstance(value, Settings) and "name" in dumped:  # as a section is written out
        return {"name": dumped["name"], **dumped}
    return dumped


def _without_references(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})

    def inline(part: Any, depth: int) -> Any:
        if isinstance(part, list):
            return [inline(item, depth) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            name = str(part["$ref"]).rpartition("/")[2]
            return inline(definitions[name], depth + 1) if depth < 8 else {}
        return {key: inline(item, depth) for key, item in part.items() if key != "title"}

    result: dict[str, Any] = inline(schema, 0)
    return result


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
