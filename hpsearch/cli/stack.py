"""The whole service on this machine for as long as a command runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpsearch.cli.console import stderr
from hpsearch.local.stack import Stack

if TYPE_CHECKING:
    from hpsearch.settings import Settings

READY_WITHIN_S = 60.0  # five seconds warm; the first start loads everything from a cold disk


@contextmanager
def running_stack(settings: "Settings") -> Iterator[Stack]:
    """Start everything, and stop it however the block is left; a second Ctrl-C hurries.

    Raises:
        InUse: Another one runs on the data folder.
        Unavailable: Something does not come up; says what.
    """
    stack = Stack(settings)
    console = stderr()
    try:
        with console.status("starting the database, the queue, the API and the workers"):
            stack.start()
            stack.wait_ready(READY_WITHIN_S)
        yield stack
    finally:
        with console.status("stopping; running trials are put back"):
            stack.stop()
