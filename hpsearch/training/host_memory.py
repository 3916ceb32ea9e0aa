"""The memory this process may still take: the machine's, or less where a container limits it.

Linux counts memory by control group. A process that outgrows its own, or one of those around it,
is killed, however much the machine has left. Both versions of the interface are read: files in
``/sys/fs/cgroup`` (version 2) and in ``/sys/fs/cgroup/memory`` (version 1).
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

SYSTEM = Path("/")


class _Interface(NamedTuple):
    """Where a version of the interface says what: a folder, and files in each group's."""

    folder: str
    limit: str
    usage: str
    idle_files: str  # an entry of memory.stat; of the groups inside, too


_VERSIONS = (
    _Interface("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    _Interface(
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def available_bytes(root: Path = SYSTEM) -> float:
    """Return what can be taken before the machine runs short or a container's limit is met.

    Files that the system keeps in memory and that nobody has read for a while count as free, for
    they give way. Where nothing is said there is no limit.

    Args:
        root: The folder that ``/proc`` and ``/sys`` are in.
    """
    return min(_of_machine(root), *_of_groups(root))


def _of_machine(root: Path) -> float:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return 1024.0 * int(available.split()[1])
    except (OSError, StopIteration, ValueError):  # not Linux
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / 2


def _of_groups(root: Path) -> Iterator[float]:
    """Yield what each group this process is in, and each around those, still allows."""
    for version, group in zip(_VERSIONS, _groups(root), strict=True):
        folder = root / version.folder
        # in a container the path may be the machine's, while the folder shows but its own group
        for path in (group, *group.parents):
            yield _allowed(folder / path, version)


def _groups(root: Path) -> tuple[PurePosixPath, PurePosixPath]:
    """Return the process's group by version 2 and by version 1, relative to their folders."""
    outermost = PurePosixPath()
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return outermost, outermost
    of_v2 = of_v1 = outermost
    for line in lines:
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        group = PurePosixPath(path.lstrip("/"))
        if ".." in group.parts:  # outside of what this process can see
            continue
        if number == "0" and not controllers:
            of_v2 = group
        elif "memory" in controllers.split(","):
            of_v1 = group
    return of_v2, of_v1


def _allowed(group: Path, version: _Interface) -> float:
    try:
        limit = int((group / version.limit).read_text())  # "max" is no number
        usage = int((group / version.usage).read_text())
    except (OSError, ValueError):
        return math.inf
    idle = min(usage, _statistic(group / "memory.stat", version.idle_files))
    return float(max(0, limit - usage + idle))


def _statistic(file: Path, name: str) -> int:
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
        return next((int(line[1]) for line in lines if line[:1] == [name]), 0)
    except (OSError, ValueError, IndexError):
        return 0
