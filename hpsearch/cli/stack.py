"""The whole service on this machine for as long as a command runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpsearch.cli.console import stderr, stdout
from hpsearch.cli.signals import undisturbed
from hpsearch.client.client import Client
from hpsearch.local.stack import Stack

if TYPE_CHECKING:
    from rich.console import Console

    from hpsearch.settings import Settings

READY_WITHIN_S = 60.0  # five seconds warm; the first start loads everything from a cold disk


@contextmanager
def running_stack(settings: "Settings") -> Iterator[Stack]:
    """Start everything, and stop it however the block is left.

    Raises:
        Unavailable: Something does not come up; says what.
    """
    stack = Stack(settings)
    console = stderr()
    try:
        with console.status("starting the database, the queue, the API and the workers"):
            stack.__enter__()
            stack.wait_ready(READY_WITHIN_S)
        yield stack
    finally:
        with undisturbed(), console.status("stopping; running trials are put back"):
            stack.stop()


def print_address(console: "Console", client: Client, page: str = "") -> None:
    """Print where to look in a browser.

    The link that logs in carries the token: it goes to a terminal only, never to a log.
    """
    if sys.stdout.isatty():
        console.print(f"Look at it in a browser: {client.login_link()}", soft_wrap=True)
    else:
        console.print(
            f"Look at it in a browser: {client.url}{page} (`hpsearch token link` logs in)",
            soft_wrap=True,
        )


def say(line: str) -> None:
    """Print one line of text as it is."""
    stdout().print(line, markup=False, soft_wrap=True)
