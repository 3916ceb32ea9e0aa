"""Processes that compute side by side, each on a core of its own or all on one.

What processes cost each other shows on the clock on the wall alone, so a crew wants a machine
that is quiet otherwise.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from benchmarks.harness import pin

Work = Callable[[int], int]
"""Does so many steps and returns how much it did."""

Member = tuple[int | None, Callable[..., Work], Sequence[object]]
"""A process: its core (None: any), what makes its work (a function of a module), its arguments."""


class Crew:
    """Started processes that wait to be told to work.

    Args:
        members: One for each process.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for core, make, arguments in members:
            mine, its = context.Pipe()
            process = context.Process(target=_serve, args=(its, core, make, arguments))
            process.start()
            its.close()
            self._pipes.append(mine)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()  # ready

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join()

    def rate(self, members: Sequence[int], seconds: float) -> float:
        """Return what these members do in a second, all of them at once."""
        for member in members:
            self._pipes[member].send(seconds)
        return sum(float(self._pipes[member].recv()) for member in members)


def _serve(
    pipe: Connection, core: int | None, make: Callable[..., Work], arguments: Sequence[object]
) -> None:
    pin(core)
    run = make(*arguments)
    run(5)
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            done += run(5)
        pipe.send(done / (time.perf_counter() - started))
