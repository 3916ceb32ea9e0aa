"""Calls of kernels that are noted down once and made again, step after step, in a single call."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # it needs llvmlite, which is not installed everywhere
    from hpsearch.native.emitter import Emitter, Int

WIDTH = 24  # arguments a kernel has at most
_CALL = 1 + 3 * WIDTH  # whole numbers noted of a call


def play(e: "Emitter", a: Mapping[str, "Int"]) -> None:
    """Make all calls for each of some steps, one step after the other: lane after lane.

    What a lane is trained by stays in the cache from step to step, which all lanes would not.

    A call is the address of its kernel, its arguments for the first lane at step 0, and by how
    much each of them grows from step to step and from lane to lane.
    """
    with e.loop(a["lanes"]) as lane, e.loop(a["n_steps"]) as i:
        step = a["first"] + i
        with e.loop(a["n_calls"]) as k:
            call = a["calls"] + k * (_CALL * 8)
            with e.loop(WIDTH) as j:
                at = call + 8 + j * 8
                by_step, by_lane = (e.load_whole(at + n * (WIDTH * 8)) for n in (1, 2))
                value = e.load_whole(at) + step * by_step + lane * by_lane
                e.store_whole(value, a["work"] + j * 8)
            e.invoke(e.load_whole(call), a["work"])


class Tape:
    """Calls noted down, in their order.

    Args:
        steps: By how much arguments of these names grow from step to step.
        at: The step that is noted.
        n_lanes: Its lanes.
        size: Bytes of a number.
        columns: Of the table of coefficients.
    """

    def __init__(
        self, steps: Mapping[str, int], at: int, *, n_lanes: int, size: int, columns: int
    ) -> None:
        self._steps, self._at, self._n_lanes = steps, at, n_lanes
        self._size, self._columns = size, columns
        self._kept: list[Any] = []
        self._noted = np.zeros((0, _CALL), np.int64)
        self._work = np.zeros(WIDTH, np.int64)

    def note(
        self,
        name: str,
        address: int,
        arguments: Mapping[str, int],
        kept: Sequence[Any],
    ) -> None:
        """Note a call.

        Args:
            name: Of the kernel.
            address: Of its code.
            arguments: Of the call.
            kept: What has to live as long as the tape.
        """
        from hpsearch.native.kernels import lane_bytes

        by_lane = lane_bytes(name, arguments, self._size, self._columns)
        first = {
            which: value - self._at * self._steps.get(which, 0)
            for which, value in arguments.items()
        } | {"lanes": 1}
        rows = (
            [first[which] for which in arguments],
            [self._steps.get(which, 0) for which in arguments],
            [by_lane.get(which, 0) for which in arguments],
        )
        rest = [0] * (WIDTH - len(arguments))
        call = [address, *(value for row in rows for value in (*row, *rest))]
        self._noted = np.vstack((self._noted, np.array(call, np.int64)))
        self._kept.extend(kept)

    def arguments(self, first: int, n_steps: int) -> tuple[int, ...]:
        """Return what :func:`play` takes, to play ``n_steps`` steps from ``first`` on."""
        calls, work = self._noted.ctypes.data, self._work.ctypes.data
        return calls, len(self._noted), self._n_lanes, first, n_steps, work
