"""Write docs/reference/definition.md from the classes a definition is read with.

.venv/bin/python tools/definition_reference.py
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hpsearch.catalog import installed_catalog
from hpsearch.spec.definition import DEFAULT_PRUNER, DEFAULT_SAMPLER
from hpsearch.spec.fields import MISSING, Settings
from hpsearch.spec.kinds import FieldKind, fields_of
from hpsearch.spec.metrics import MAX_OBJECTIVES, WrittenObjective
from hpsearch.spec.sections import DatasetSection, Execution, Heading, Limits, Training

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "definition.md"
HEAD = """\
# Study definitions

<!-- Written by tools/definition_reference.py (`make docs`); do not edit. -->

Every field of a definition with what it takes, its default and its meaning. `hpsearch schema`
prints the same as a JSON schema, `hpsearch validate study.yaml` a definition with every default
filled in. Unknown fields and values out of bounds are refused, all of them at once, with their
lines.

The column *search* says what may stand in place of a constant:

- **yes**: a range `{low: 1e-4, high: 1, log: true}` (ends included; `step` in place of `log`) or
  `{choices: [16, 32]}`. Names and flags take choices only;
- **per layer**: the same, drawn anew for each layer (`per_layer: false` inside it draws once), or
  a list with a constant, range or choices for each layer, whose length is the depth, or choices
  of whole lists;
- **branches**: `{choices: [{...}, {...}]}` of whole sections, each with fields of its own and, if
  two have one name, a `label` (1 to 32 of `a-z0-9_`). Fields beside `choices` are common to all;
- nothing: the same for every trial.
"""


def reference() -> str:
    """Return the page's text."""
    catalog = installed_catalog()
    schedules = fields_of(next(iter(catalog.optimizers.values())))["schedule"]
    assert schedules.plugins  # noqa: S101 - a union of sections
    return "\n".join(
        [
            HEAD,
            *_section("The study", Heading, ""),
            *_section("`dataset`", DatasetSection, "dataset."),
            *_plugins("model", "family", catalog.families),
            *_plugins("optimizer", "name", catalog.optimizers),
            *_plugins("optimizer.schedule", "name", schedules.plugins, schedules.default["name"]),
            *_section("`training`", Training, "training."),
            *_section("`objectives`", WrittenObjective, "objectives[]."),
            f"A list of 1 to {MAX_OBJECTIVES}; without it `val_accuracy`, of a regression "
            "`val_loss`. The first one measured every epoch decides a trial's best epoch.",
            "",
            *_choice("sampler", catalog.samplers, DEFAULT_SAMPLER),
            *_choice("pruner", catalog.pruners, DEFAULT_PRUNER),
            *_section("`limits`", Limits, "limits."),
            "One of `max_trials`, `timeout_s` and `device_seconds` is required, except with the "
            "sampler `grid`.",
            "",
            *_section("`execution`", Execution, "execution."),
        ]
    )


def _section(title: str, settings: type[Settings], prefix: str) -> list[str]:
    rows = [
        f"| `{name}` | {_takes(kind)} | {_shown(kind.default)} | {_search(kind)} "
        f"| {_meaning(kind)} |"
        for name, kind in _leaves(settings, prefix)
    ]
    head = ["| field | takes | default | search | meaning |", "|---|---|---|---|---|"]
    return [f"## {title}", "", *head, *rows, ""]


def _leaves(settings: type[Settings], prefix: str) -> Iterator[tuple[str, FieldKind]]:
    """Yield the fields, those of a section inside a section behind it."""
    for name, kind in fields_of(settings).items():
        yield f"{prefix}{name}", kind
        if kind.nested is not None:
            yield from _leaves(kind.nested, f"{prefix}{name}.")


def _plugins(
    section: str, key: str, plugins: Mapping[str, type[Settings]], default: str | None = None
) -> list[str]:
    """Return the fields of several plugins in one table, those that are alike in one row."""
    owners: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for plugin, settings in plugins.items():
        for name, kind in fields_of(settings).items():
            if name != key:
                row = (name, _takes(kind), _search(kind), _meaning(kind))
                owners.setdefault(row, {}).setdefault(_shown(kind.default), []).append(plugin)
    order = list(dict.fromkeys(row[0] for row in owners))
    rows = [
        f"| `{section}.{name}` | {_owned(found, plugins)} | {takes} | {_defaults(found)} "
        f"| {search} | {meaning} |"
        for (name, takes, search, meaning), found in sorted(
            owners.items(), key=lambda item: order.index(item[0][0])
        )
    ]
    need = f"`{default}` if it is left out" if default else "required"
    return [
        f"## `{section}`",
        "",
        f"`{section}.{key}`, {need}, is one of {_names(plugins)}. The section takes branches.",
        "",
        "| field | of | takes | default | search | meaning |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _choice(section: str, plugins: Mapping[str, type[Settings]], default: str) -> list[str]:
    return [
        f"## `{section}`",
        "",
        f"`{section}.name`, `{default}` if it is left out, is one of {_names(plugins)}. Their "
        "fields: [samplers and pruners](samplers-and-pruners.md).",
        "",
    ]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _owned(found: Mapping[str, list[str]], plugins: Mapping[str, type[Settings]]) -> str:
    owners = [name for name in plugins if any(name in names for names in found.values())]
    return "all" if len(owners) == len(plugins) else ", ".join(owners)


def _defaults(found: Mapping[str, list[str]]) -> str:
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{default} ({', '.join(names)})" for default, names in found.items())


def _takes(kind: FieldKind) -> str:
    if kind.plugins is not None:
        return "a section"
    if kind.nested is not None:
        return "a section or null" if kind.accepts_null() else "a section"
    return kind.expectation.replace("|", "\\|")


def _search(kind: FieldKind) -> str:
    if kind.searchable is None:
        return ""
    if kind.plugins is not None:
        return "branches"
    return "per layer" if kind.searchable.per_layer else "yes"


def _shown(default: Any) -> str:
    if default is MISSING:
        return "required"
    if isinstance(default, dict):
        return f"`{{name: {default['name']}}}`"
    return f"`{json.dumps(default)}`"


def _meaning(kind: FieldKind) -> str:
    return (kind.description or "").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference())
