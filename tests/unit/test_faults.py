"""Fault points do as they are told in tests, and are not there otherwise."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch import faults
from hpsearch.errors import ServiceDown
from hpsearch.faults import Fault, Window, reached

ROOT = Path(__file__).parents[2]
REACH = "from hpsearch.faults import Window, reached\nreached(Window.TRAINING)\nprint('alive')"


def order(folder: Path, fault: str) -> None:
    (folder / Window.TRAINING).write_text(fault)


def run(environment: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if k != faults.VARIABLE}  # noqa: TID251
    return subprocess.run(
        [sys.executable, "-c", REACH],
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_the_variable_an_order_is_never_even_looked_for(tmp_path: Path) -> None:
    order(tmp_path, Fault.KILL)
    done = run({}, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "alive")
    assert [path.name for path in tmp_path.iterdir()] == [Window.TRAINING]


def test_without_the_variable_nothing_touches_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_FOLDER", None)
    monkeypatch.setattr(faults, "_carry_out", lambda _: pytest.fail("it looked"))
    for window in Window:
        reached(window)


def test_an_order_kills_once_and_no_second_process(tmp_path: Path) -> None:
    order(tmp_path, Fault.KILL)
    environment = {faults.VARIABLE: str(tmp_path)}
    assert run(environment, tmp_path).returncode == -signal.SIGKILL
    assert run(environment, tmp_path).stdout.strip() == "alive"


def test_connections_are_cut_and_disks_full_to_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "_FOLDER", str(tmp_path))
    order(tmp_path, Fault.CUT)
    with pytest.raises(ServiceDown):
        reached(Window.TRAINING)
    order(tmp_path, Fault.FULL)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number says which
        reached(Window.TRAINING)
    assert caught.value.errno == errno.ENOSPC


def test_every_window_is_somewhere_in_the_product() -> None:
    sources = [path.read_text() for path in (ROOT / "hpsearch").rglob("*.py")]
    for window in Window:
        assert any(f"reached(Window.{window.name})" in source for source in sources), window
