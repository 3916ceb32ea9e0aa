"""A trainer's sign of life: how long its worker should believe in it from now on."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TRAINING_SILENCE_S = 60.0  # a step chunk takes at most half a second
LOADING_SILENCE_S = 600.0  # downloads, compiling, sampling after ten thousand trials
ANNOUNCE_EVERY_S = 1.0
_USUAL_FACTOR = 10.0  # a device on which chunks take longer gets ten times its usual
_USUAL_SHARE = 0.1  # weight of the newest gap in the running mean


class Pulse:
    """The two callbacks of a turn, each of which proves that the trainer is alive.

    The callbacks only note the time, so a training loop may call them as often as it likes; a
    thread tells the worker once a second, for as long as there is news.

    Args:
        announce: Tells the worker how long silence is all right from now, s.
        is_interrupted: Whether the turn should end.
        clock: Monotonic time, s.
    """

    def __init__(
        self,
        announce: Callable[[float], None],
        is_interrupted: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._announce, self._is_interrupted, self._clock = announce, is_interrupted, clock
        self._polled_at: float | None = None
        self._usual_s = 0.0
        self._good_until = clock() + LOADING_SILENCE_S
        self._announced = self._good_until

    def interrupted(self) -> bool:
        """Return whether to hand the lanes back; polled between step chunks."""
        now = self._clock()
        if self._polled_at is not None:
            self._usual_s += _USUAL_SHARE * (now - self._polled_at - self._usual_s)
        self._polled_at = now
        self._good_until = now + max(TRAINING_SILENCE_S, _USUAL_FACTOR * self._usual_s)
        return self._is_interrupted()

    def progress(self) -> None:
        """Note progress, before something that may take minutes."""
        self._good_until = self._clock() + LOADING_SILENCE_S

    def report(self) -> None:
        """Announce how long silence is all right, if there was a sign of life since last time."""
        good_until = self._good_until
        if good_until != self._announced:
            self._announced = good_until
            self._announce(good_until - self._clock())

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Report once a second while the block runs."""
        done = threading.Event()

        def repeat() -> None:
            while not done.wait(ANNOUNCE_EVERY_S):
                self.report()

        thread = threading.Thread(target=repeat, name="pulse", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
