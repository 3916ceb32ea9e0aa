"""Where stacks of the tests live."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpsearch.settings import Settings
from tests.services.process_tree import LinuxProcess
from tests.services.waiting import eventually

REPOSITORY = Path(__file__).parents[3]


def processes_of(folder: Path) -> list[LinuxProcess]:
    """Every living process, wherever it hangs, that was told of a data folder.

    Redis writes its title over its environment; it is known by where it stands.
    """
    mark = f"HPSEARCH_DATA_DIR={folder.resolve()}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            is_marked = mark in (entry / "environ").read_bytes() + b"\0"
            is_marked |= (entry / "cwd").readlink().is_relative_to(folder.resolve())
        except OSError:
            continue
        process = LinuxProcess.of(int(entry.name)) if is_marked else None
        if process is not None and not process.is_gone:
            found.append(process)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    path.mkdir()
    (path / "mode").write_text("idle")
    yield path
    eventually(lambda: not processes_of(path), "no process is left behind")


@pytest.fixture
def settings_for(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def make(folder: Path, **others: object) -> Settings:
        values = {"port": 0, "devices": "cpu:1", **others}
        return Settings(data_dir=folder, **values)  # type: ignore[arg-type]  # tests say what

    return make


@pytest.fixture
def settings(settings_for: Callable[..., Settings], folder: Path) -> Settings:
    return settings_for(folder)
