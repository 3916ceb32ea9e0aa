"""Ctrl-C and termination, wherever the command was started from."""

import signal
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


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(128 + number)
