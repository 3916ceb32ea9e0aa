"""The JSON schema of a study definition: for editors, for forms, and to read."""

from collections.abc import Mapping
from typing import Any

from hpsearch.spec.branches import LABEL
from hpsearch.spec.catalog import Catalog
from hpsearch.spec.definition import DEFAULT_PRUNER, DEFAULT_SAMPLER
from hpsearch.spec.fields import MISSING, Settings
from hpsearch.spec.kinds import FieldKind, fields_of
from hpsearch.spec.metrics import MAX_OBJECTIVES, VALIDATION_METRICS, objective_metrics
from hpsearch.spec.sections import (
    DatasetSection,
    Direction,
    Execution,
    Heading,
    Limits,
    Task,
    Training,
)
from hpsearch.spec.values import MAX_CHOICES

Schema = dict[str, Any]


def json_schema(catalog: Catalog) -> Schema:
    """Return a JSON Schema (2020-12) that every valid definition satisfies.

    It knows the fields, types and bounds; what only a look at several fields can tell
    (``low < high``, choices that differ, layers that match) is left to the parser.

    Args:
        catalog: The plugins and data sets there are.
    """
    properties: Schema = {
        **_properties(Heading, ""),
        "dataset": _dataset(catalog),
        "model": _with_branches("model", "family", catalog.families),
        "optimizer": _with_branches("optimizer", "name", catalog.optimizers),
        "training": _object(_training()),
        "objectives": _objectives(),
        "sampler": _one_of("sampler", catalog.samplers, DEFAULT_SAMPLER),
        "pruner": _one_of("pruner", catalog.pruners, DEFAULT_PRUNER),
        "limits": _object(_properties(Limits, "limits")),
        "execution": _object(_properties(Execution, "execution")),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Study definition",
        "description": "One hyperparameter search.",
        **_object(properties, ["name", "dataset", "model", "optimizer"]),
    }


def _object(properties: Mapping[str, Any], required: list[str] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required or [],
        "additionalProperties": False,
    }


def _properties(settings: type[Settings], where: str) -> Schema:
    return {name: _field(kind, where) for name, kind in fields_of(settings).items()}


def _field(kind: FieldKind, where: str) -> Schema:
    """Return what may be written for a field."""
    if kind.plugins is not None:
        default = None if kind.default is MISSING else kind.default["name"]
        value: Schema = _with_branches(f"{where}.{kind.name}", "name", kind.plugins, default)
    elif kind.nested is not None:
        value = _object(_properties(kind.nested, f"{where}.{kind.name}"))
        value = {"anyOf": [value, {"type": "null"}]} if kind.accepts_null() else value
    elif kind.searchable is None:
        value = dict(kind.schema)
    else:
        value = _searchable(kind)
    if kind.default is not MISSING:
        value["default"] = kind.default
    if kind.description:
        value["description"] = kind.description
    return value


def _searchable(kind: FieldKind) -> Schema:
    constant = dict(kind.schema)
    searched = [_range(kind)] if kind.number else []
    searched.append(_choices(constant))
    if kind.searchable is None or kind.searchable.per_layer is None:
        return {"anyOf": [constant, *searched]}
    # without per_layer, which has no place in a list
    entry = {"anyOf": [constant, *searched]}
    per_layer = {"type": "array", "items": entry}
    whole = _choices({"type": "array", "items": constant})
    return {"anyOf": [constant, *searched, per_layer, whole]}


def _range(kind: FieldKind) -> Schema:
    number = "integer" if kind.number == "int" else "number"
    plain = next(
        option
        for option in kind.schema.get("anyOf", [kind.schema])
        if option.get("type") in {number, "integer"} and "enum" not in option
    )
    return _object(
        {
            "low": {**plain, "description": "smallest value, included"},
            "high": {**plain, "description": "largest value, included"},
            "log": {"type": "boolean", "description": "draw evenly in the logarithm"},
            "step": {
                "type": number,
                "exclusiveMinimum": 0,
                "description": "distance of neighbouring values",
            },
            "per_layer": _PER_LAYER,
        },
        ["low", "high"],
    )


_PER_LAYER = {
    "type": "boolean",
    "description": "false: one value for all layers instead of one for each",
}


def _choices(value: Schema) -> Schema:
    choices = {"type": "array", "items": value, "minItems": 1, "maxItems": MAX_CHOICES}
    return _object({"choices": choices, "per_layer": _PER_LAYER}, ["choices"])


def _dataset(catalog: Catalog) -> Schema:
    properties = _properties(DatasetSection, "dataset")
    properties["name"] = {"enum": list(catalog.datasets)}
    return _object(properties, ["name"])


def _training() -> Schema:
    properties = _properties(Training, "training")
    early_stopping = properties["early_stopping"]["anyOf"][0]["properties"]
    metrics = {name: None for names in VALIDATION_METRICS.values() for name in names}
    early_stopping["metric"] = {"enum": list(metrics), "default": "val_loss"}
    return properties


def _objectives() -> Schema:
    metrics = {name: None for task in Task for name in objective_metrics(task)}
    objective = _object(
        {
            "metric": {"enum": list(metrics)},
            "direction": {"enum": [*(item.value for item in Direction), None]},
            "target_value": {"type": ["number", "null"]},
        },
        ["metric"],
    )
    return {"type": "array", "items": objective, "minItems": 1, "maxItems": MAX_OBJECTIVES}


def _plugin(where: str, key: str, name: str, settings: type[Settings]) -> Schema:
    """Return the fields of one plugin, the one that names it first."""
    return {
        key: {"const": name},
        **{
            field: _field(kind, where)
            for field, kind in fields_of(settings).items()
            if field != key
        },
    }


def _one_of(where: str, plugins: Mapping[str, type[Settings]], default: str) -> Schema:
    return {"oneOf": _singles(where, "name", plugins, default), "default": {"name": default}}


def _singles(
    where: str, key: str, plugins: Mapping[str, type[Settings]], default: str | None
) -> list[Schema]:
    """Return a section of each plugin; the default one need not be named."""
    return [
        _object(
            _plugin(where, key, name, settings),
            [*([] if name == default else [key]), *_required(settings, key)],
        )
        for name, settings in plugins.items()
    ]


def _with_branches(
    where: str, key: str, plugins: Mapping[str, type[Settings]], default: str | None = None
) -> Schema:
    single = _singles(where, key, plugins, default)
    label = {"type": "string", "pattern": f"^{LABEL.pattern}$"}
    branches = [
        _object({**_plugin(where, key, name, settings), "label": label}, [key])
        for name, settings in plugins.items()
    ]
    choices = {
        "type": "array",
        "items": {"oneOf": branches},
        "minItems": 1,
        "maxItems": MAX_CHOICES,
    }
    common = _object({**_common(where, key, plugins), "choices": choices}, ["choices"])
    return {"anyOf": [*single, common]}


def _required(settings: type[Settings], key: str) -> list[str]:
    """Return the fields that must be given; a depth can follow from a list."""
    kinds = fields_of(settings)
    depths = {kind.searchable.per_layer for kind in kinds.values() if kind.searchable}
    return [
        name
        for name, kind in kinds.items()
        if kind.default is MISSING and name != key and name not in depths
    ]


def _common(where: str, key: str, plugins: Mapping[str, type[Settings]]) -> Schema:
    options: dict[str, list[Schema]] = {}
    for settings in plugins.values():
        for name, kind in fields_of(settings).items():
            schema = _field(kind, where)
            schema.pop("default", None)
            if name != key and schema not in options.setdefault(name, []):
                options[name].append(schema)
    return {
        name: schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        for name, schemas in options.items()
    }
