from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from hpsearch.cli.preflight_table import print_findings
from hpsearch.spec.findings import Finding, PreflightView, Severity

OK = Finding("sizes", Severity.OK, "enough [of] them", 54_000.0, "at least 30")
SKIPPED = Finding("overfit", Severity.SKIPPED, "undecided")
WARNING = Finding("initial_loss", Severity.WARNING, "use model.init: he", 179.04, "about 2.3")
FAILURE = Finding("finite", Severity.FAILURE, "input feature 3 has NaN", 1.0, "0 features")


def printed(*findings: Finding, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width)
    found = PreflightView("cpu", 0.25, datetime(2026, 1, 1, tzinfo=UTC), findings)
    print_findings(console, "digits", found)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_row_tells_what_was_measured_expected_and_is_to_be_changed() -> None:
    rows = printed(OK, WARNING).splitlines()
    assert rows[0].split() == ["check", "result", "measured", "expected", "what", "it", "says"]
    assert "sizes" in rows[1]
    assert "enough [of] them" in rows[1]
    for text in ("initial loss", "warning", "179", "about 2.3", "use model.init: he"):
        assert text in rows[2]


def test_a_narrow_terminal_leaves_out_what_was_expected() -> None:
    text = printed(WARNING, width=80)
    assert "about 2.3" not in text
    assert "use model.init: he" in text


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ((OK, SKIPPED), "Ready to run: digits: 2 checks in 0.25s on cpu"),
        ((OK, WARNING), "1 warning for digits"),
        ((WARNING, WARNING), "2 warnings for digits"),
        ((WARNING, FAILURE), "This study cannot be trained. digits"),
    ],
)
def test_the_last_line_is_the_verdict(findings: tuple[Finding, ...], verdict: str) -> None:
    assert verdict in printed(*findings).splitlines()[-1]
