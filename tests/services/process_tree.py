"""Processes as /proc shows them: who descends from whom, what they run and weigh."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class LinuxProcess:
    """One process; ``born`` tells it from a later one with the same number."""

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> "LinuxProcess | None":
        """Return the process of that number unless it is gone."""
        fields = _stat(pid)
        return cls(pid, fields[19]) if fields else None

    @property
    def is_gone(self) -> bool:
        """Whether it runs no more; a zombie nobody has waited for is gone too."""
        fields = _stat(self.pid)
        return not fields or fields[0] in "ZX" or fields[19] != self.born

    @property
    def parent(self) -> int:
        """Process id of the parent, 0 for none."""
        fields = _stat(self.pid)
        return int(fields[1]) if fields else 0

    @property
    def command(self) -> list[str]:
        """The command line, empty once it is gone."""
        return _read(self.pid, "cmdline").split("\0")[:-1]

    @property
    def resident_bytes(self) -> int:
        """Memory it holds."""
        return int(_read(self.pid, "statm").split()[1]) * _PAGE_BYTES

    @property
    def mapped_files(self) -> set[str]:
        """Files it has mapped, libraries above all."""
        return {line[-1] for row in _read(self.pid, "maps").splitlines() if (line := row.split())}

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)


def descendants(pid: int) -> list[LinuxProcess]:
    """Return the living processes below one."""
    living = [
        process
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (process := LinuxProcess.of(int(entry.name)))
    ]
    children: dict[int, list[LinuxProcess]] = {}
    for process in living:
        children.setdefault(process.parent, []).append(process)
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += [process for process in below if not process.is_gone]
        todo += [process.pid for process in below]
    return found


def _stat(pid: int) -> list[str]:
    text = _read(pid, "stat")
    return text.rpartition(") ")[2].split()


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
