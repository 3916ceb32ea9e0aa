"""Write docs/reference/samplers-and-pruners.md from the plugins' classes.

.venv/bin/python tools/search_reference.py
"""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path

from hpsearch.pruning.base import REGISTRY as PRUNERS
from hpsearch.sampling.base import REGISTRY as SAMPLERS
from hpsearch.spec.fields import MISSING, Settings
from hpsearch.spec.kinds import fields_of

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "samplers-and-pruners.md"
HEAD = """\
# Samplers and pruners

<!-- Written by tools/search_reference.py (`make docs`); do not edit. -->

A sampler proposes the points of a study, a pruner stops trials that lose against their siblings.
Their fields are Optuna's arguments of the same name. How to choose, and what the rules are:
[choose a search](../how-to/choose-a-search.md).
"""


def reference() -> str:
    """Return the page's text."""
    return "\n".join([HEAD, *_part("Samplers", SAMPLERS), *_part("Pruners", PRUNERS)])


def _part(title: str, plugins: Mapping[str, type[Settings]]) -> list[str]:
    lines = [f"## {title}", ""]
    for name, settings in plugins.items():
        lines += [f"### `{name}`", "", _markdown(inspect.getdoc(settings) or ""), ""]
        rows = _rows(settings)
        if rows:
            lines += ["| field | takes | default | meaning |", "|---|---|---|---|", *rows, ""]
    return lines


def _rows(settings: type[Settings]) -> list[str]:
    rows = []
    for name, kind in fields_of(settings).items():
        if name == "name":
            continue
        default = "required" if kind.default is MISSING else f"`{json.dumps(kind.default)}`"
        meaning = (kind.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {kind.expectation} | {default} | {meaning} |")
    return rows


def _markdown(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(reference())
