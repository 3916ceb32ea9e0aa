"""The two streams people read, and how numbers, times and parameters look in them."""

import sys
from collections.abc import Mapping
from datetime import datetime
from functools import cache

from rich.console import Console

WIDTH_UNKNOWN = 120  # columns of output that goes to a file or a pipe


@cache
def stdout() -> Console:
    """Return the console of results."""
    return Console(
        highlight=False,
        soft_wrap=False,
        width=None if sys.stdout.isatty() else WIDTH_UNKNOWN,
    )


@cache
def stderr() -> Console:
    """Return the console of errors and remarks."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 10_000)


def say(line: str) -> None:
    """Print one line of plain text as a result."""
    stdout().print(line, markup=False, soft_wrap=True)


def say_address(url: str, login_link: str) -> None:
    """Print where to look in a browser.

    The link that logs in carries the token: it goes to a terminal only, never to a log.
    """
    if sys.stdout.isatty():
        say(f"Look at it in a browser: {login_link}")
    else:
        say(f"Look at it in a browser: {url} (`hpsearch token link` logs in)")


def format_number(value: object) -> str:
    """Return a value in at most four significant digits, counts in full."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def format_values(values: Mapping[str, float | None] | None) -> str:
    """Return ``val_accuracy 0.9721, val_loss 0.11``."""
    return ", ".join(f"{name} {format_number(value)}" for name, value in (values or {}).items())


def format_params(params: Mapping[str, object]) -> str:
    """Return ``learning_rate=0.0012 hidden_units[0]=128``, sections only where needed."""
    return " ".join(
        f"{name}={format_number(params[long])}" for long, name in short_names(params).items()
    )


def short_names(params: Mapping[str, object]) -> dict[str, str]:
    """Return each parameter's last part, or its whole name where two parts are equal."""
    short = {name: name.rsplit(".", 1)[-1] for name in params}
    taken = list(short.values())
    return {name: last if taken.count(last) == 1 else name for name, last in short.items()}


def format_time(moment: datetime | None) -> str:
    """Return the moment in the time of this machine."""
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def format_duration(seconds: float | None) -> str:
    """Return ``0.04s``, ``4.2s``, ``42s``, ``3m 05s`` or ``2h 10m``."""
    if seconds is None:
        return "-"
    if 0 < seconds < 1:
        return f"{seconds:.2f}s"
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"
