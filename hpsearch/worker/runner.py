"""What runs turns inside a trainer, and where it comes from."""

import importlib
from collections.abc import Callable
from typing import Protocol, cast

from hpsearch.settings import Settings


class Runner(Protocol):
    """Takes turns, one after the other, in one process."""

    def run(
        self, hint: str | None, interrupted: Callable[[], bool], progress: Callable[[], None]
    ) -> object:
        """Take one turn.

        Args:
            hint: A study that is said to have work; None to look for any.
            interrupted: Polled at least every 0.5 s while training; once true, hand every lane
                back and return. Each call allows a minute of silence from then on.
            progress: To be called before anything that may take longer (loading, sampling,
                waiting for the database). Each call allows ten minutes from then on.

        Returns:
            Something true if there was work, else something false.

        Raises:
            Unavailable: A service is down; the runner is called again later.
        """

    def worker_lost(self, worker: str) -> None:
        """Give back what a dead trainer of that name held, without waiting for its leases."""

    def close(self) -> None:
        """Say goodbye, at a polite end."""


RunnerFactory = Callable[[Settings, str, str], Runner]
DEFAULT_RUNNER = "hpsearch.worker.turns:make_runner"


def find_factory(name: str) -> RunnerFactory:
    """Return the factory called ``package.module:function``.

    It is called with the settings, the worker's name and the device (``cpu`` or ``cuda:0``).
    """
    module, _, function = name.partition(":")
    return cast(RunnerFactory, getattr(importlib.import_module(module), function))
