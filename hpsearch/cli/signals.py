"""Ctrl-C and termination, wherever the command was started from."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(SystemExit):
    """The process was asked to end (SIGTERM, or its terminal was closed)."""


def listen() -> None:
    """Turn SIGINT into KeyboardInterrupt, and SIGTERM and SIGHUP into Terminated.

    A shell starts background jobs with SIGINT ignored; who sends one anyway means it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _terminate)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let nothing interrupt what is tidied up inside."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(128 + number)
