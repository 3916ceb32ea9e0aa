"""Data sets as tables."""

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from hpsearch.cli.console import format_time
from hpsearch.spec.views import DatasetView

MAX_COLUMNS_SHOWN = 40
MAX_VALUES_SHOWN = 6


def dataset_table(datasets: Iterable[DatasetView]) -> Table:
    """Return one row a data set."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for head in ("name", "task", "examples", "shape", "outputs", "from"):
        table.add_column(head)
    for one in datasets:
        table.add_row(
            escape(one.name),
            one.task,
            "-" if one.n_examples is None else f"{one.n_examples:,}",
            _shape(one.input_shape),
            str(one.n_outputs),
            "installation" if one.source == "built_in" else escape(f"upload by {one.owner}"),
        )
    return table


def dataset_details(one: DatasetView) -> Table:
    """Return one data set, a line for each thing worth knowing."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("data set", f"[bold]{escape(one.name)}")
    table.add_row("task", one.task)
    examples = "unknown" if one.n_examples is None else f"{one.n_examples:,}"
    own = ", and a test split of its own" if one.has_test_split else ""
    table.add_row("examples", f"{examples} of shape {_shape(one.input_shape)}{own}")
    what = "classes" if one.task == "classification" else "targets"
    table.add_row(what, escape(f"{one.n_outputs:,}{_listed(one.outputs)}"))
    for column in one.columns[:MAX_COLUMNS_SHOWN]:
        table.add_row("column" if one.media_type == "text/csv" else "array", _column(column))
    if len(one.columns) > MAX_COLUMNS_SHOWN:
        table.add_row("", f"... {len(one.columns):,} in all")
    if one.sha256 is not None:
        table.add_row("file", f"{one.n_bytes:,} bytes, sha256 {one.sha256}")
        table.add_row("uploaded", f"{format_time(one.created_at)} by {escape(str(one.owner))}")
    if one.used_by:
        table.add_row("used by", escape(", ".join(one.used_by)))
    for warning in one.warnings:
        table.add_row("[yellow]warning", escape(warning))
    return table


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape)


def _listed(values: tuple[str, ...] | list[str]) -> str:
    if not values:
        return ""
    more = " ..." if len(values) > MAX_VALUES_SHOWN else ""
    return f": {', '.join(values[:MAX_VALUES_SHOWN])}{more}"


def _column(column: dict[str, object]) -> str:
    name, kind = escape(str(column.get("name"))), column.get("kind")
    if kind == "array":
        return escape(f"{name} {column.get('dtype')} {column.get('shape')}")
    values = column.get("values")
    return f"{name} ({kind}{escape(_listed(values) if isinstance(values, list) else '')})"
