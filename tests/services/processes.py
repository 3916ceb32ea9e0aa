"""Processes under test: ended in order, and no grandchild forgotten."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
MARK = "HPSEARCH_TEST_MARK"  # in the environment of every descendant


def until(look: Callable[[], T | None], timeout_s: float, what: str | Callable[[], str]) -> T:
    """Return what ``look`` finds as soon as it is truthy; polls every 50 ms.

    Args:
        look: What is waited for.
        timeout_s: How long, s.
        what: Its name in the error, or a function that tells at the end what went wrong.

    Raises:
        TimeoutError: Not within ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            story = what if isinstance(what, str) else what()
            raise TimeoutError(f"not within {timeout_s:.0f} s: {story}")
        time.sleep(0.05)


class Household:
    """The processes one test starts, with all their descendants.

    Attributes:
        environment: What every process gets, besides its own variables.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.mark = uuid.uuid4().hex
        self.environment = {**environment, MARK: self.mark}
        self.started: list[subprocess.Popen[bytes]] = []
        self._folder = folder

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], cwd: Path
    ) -> subprocess.Popen[bytes]:
        """Start a command; its output goes to ``<folder>/<name>.log``."""
        with self.log_of(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**self.environment, **environment},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def log_of(self, name: str) -> Path:
        """Return where the output of the process called ``name`` goes."""
        return self._folder / f"{name}.log"

    def living(self) -> list[str]:
        """Return the command lines of all living processes of this household."""
        return [command for _, command in self._living()]

    def kill(self) -> None:
        """End whatever still lives, at once."""
        for pid, _ in self._living():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self.started:
            process.wait()

    def _living(self) -> list[tuple[int, str]]:
        if sys.platform != "linux":
            return [(p.pid, str(p.args)) for p in self.started if p.poll() is None]
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found.append((int(entry.name), command))
            except OSError:
                continue  # gone meanwhile
        return found


@contextmanager
def household(environment: Mapping[str, str], folder: Path) -> Iterator[Household]:
    """Give a household for a block; nothing of it lives after the block."""
    home = Household(environment, folder)
    try:
        yield home
    finally:
        home.kill()
