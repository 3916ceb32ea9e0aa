"""Lane states kept in memory from turn to turn, so that most lanes go on without reading files."""

from collections import OrderedDict
from threading import Lock

from hpsearch.training.lanes import LaneState

MAX_BYTES = 512 * 2**20


class StateCache:
    """The states of lanes handed back lately, by the path of their checkpoint.

    Paths are never used twice, so a state found here is the one in the file.

    Args:
        max_bytes: Most bytes of arrays kept; the oldest leave first.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._states: OrderedDict[str, LaneState] = OrderedDict()
        self._lock = Lock()  # claims are read in a thread

    def put(self, path: str, state: LaneState) -> None:
        """Keep a state until it is taken or crowded out."""
        with self._lock:
            self._states[path] = state
            self._n_bytes += _size(state)
            while self._n_bytes > self._max_bytes:
                _, oldest = self._states.popitem(last=False)
                self._n_bytes -= _size(oldest)

    def take(self, path: str) -> LaneState | None:
        """Return a state and forget it; None if it is not here."""
        with self._lock:
            state = self._states.pop(path, None)
            self._n_bytes -= 0 if state is None else _size(state)
            return state


def _size(state: LaneState) -> int:
    return sum(int(array.nbytes) for array in state.arrays.values())
