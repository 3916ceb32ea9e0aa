"""Calls of kernels that are noted down once and made again, step after step, in a single call."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # it needs llvmlite, which is not installed everywhere
    from hpsearch.native.emitter import Emitter, Int

WIDTH = 24  # arguments a kernel has at most
_CALL = 1 + 2 * WIDTH  # whole numbers noted of a call


def play(e: "Emitter", a: Mapping[str, "Int"]) -> None:
    """Make all calls for each of some steps, one step after the other.

    A call is the address of its kernel, its arguments at step 0, and by how much each of them
    grows from step to step.
    """
    with e.loop(a["n_steps"]) as i:
        step = a["first"] + i
        with e.loop(a["n_calls"]) as k:
            call = a["calls"] + k * (_CALL * 8)
            with e.loop(WIDTH) as j:
                at = call + 8 + j * 8
                value = e.load_whole(at) + step * e.load_whole(at + WIDTH * 8)
                e.store_whole(value, a["work"] + j * 8)
            e.invoke(e.load_whole(call), a["work"])


class Tape:
    """Calls noted down, in their order.

    Args:
        steps: By how much arguments of these names grow from step to step.
        at: The step that is noted.
    """

    def __init__(self, steps: Mapping[str, int], at: int) -> None:
        self._steps, self._at = steps, at
        self._calls: list[list[int]] = []
        self._kept: list[Any] = []
        self._noted = np.zeros((0, _CALL), np.int64)
        self._work = np.zeros(WIDTH, np.int64)

    def note(
        self, address: int, names: Sequence[str], arguments: Sequence[int], kept: Sequence[Any]
    ) -> None:
        """Note a call.

        Args:
            address: Of the kernel.
            names: Of its arguments.
            arguments: Of the call.
            kept: What has to live as long as the tape.
        """
        rest = [0] * (WIDTH - len(names))
        grow = [self._steps.get(name, 0) for name in names]
        first = [value - self._at * by for value, by in zip(arguments, grow, strict=True)]
        self._calls.append([address, *first, *rest, *grow, *rest])
        self._kept.extend(kept)
        self._noted = np.array(self._calls, np.int64)

    def arguments(self, first: int, n_steps: int) -> tuple[int, ...]:
        """Return what :func:`play` takes, to play ``n_steps`` steps from ``first`` on."""
        calls, work = self._noted.ctypes.data, self._work.ctypes.data
        return calls, len(self._calls), first, n_steps, work
