"""Findings of a preflight as people read them."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hpsearch.cli.console import format_duration, format_number
from hpsearch.spec.findings import Finding, PreflightView, Severity

WIDE = 110  # columns of a terminal that has room for what was expected

_STYLES = {
    Severity.OK: "green",
    Severity.SKIPPED: "dim",
    Severity.WARNING: "bold yellow",
    Severity.FAILURE: "bold red",
}


def print_findings(console: Console, name: str, found: PreflightView) -> None:
    """Print one row a finding, then what they amount to."""
    table = Table(box=None, pad_edge=False)
    for head in ("check", "result", "measured"):
        table.add_column(head, header_style="dim", no_wrap=True)
    if console.width >= WIDE:
        table.add_column("expected", header_style="dim", overflow="fold", max_width=34)
    table.add_column("what it says", header_style="dim", overflow="fold")
    for finding in found.findings:
        table.add_row(*_row(finding, is_wide=console.width >= WIDE))
    console.print(table)
    console.print(f"\n{_verdict(found)} {escape(name)}: {_cost(found)}", highlight=False)


def _row(finding: Finding, *, is_wide: bool) -> list[str]:
    style = _STYLES[finding.severity]
    expected = [escape(finding.expected or "-")] if is_wide else []
    is_ok = finding.severity is Severity.OK
    message = escape(finding.message)
    return [
        escape(finding.check.replace("_", " ")),
        f"[{style}]{finding.severity}[/]",
        format_number(finding.measured),
        *expected,
        f"[dim]{message}[/]" if is_ok else message,
    ]


def _verdict(found: PreflightView) -> str:
    n_failures, n_warnings = (
        sum(finding.severity is severity for finding in found.findings)
        for severity in (Severity.FAILURE, Severity.WARNING)
    )
    if n_failures:
        return "[bold red]This study cannot be trained.[/]"
    if n_warnings:
        return f"[bold yellow]{n_warnings} warning{'s' if n_warnings > 1 else ''}[/] for"
    return "[bold green]Ready to run:[/]"


def _cost(found: PreflightView) -> str:
    n_checks = len(found.findings)
    return f"{n_checks} checks in {format_duration(found.device_seconds)} on {found.device}"
