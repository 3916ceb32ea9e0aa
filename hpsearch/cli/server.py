"""Commands that run the service: everything at once, or one of its processes."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from hpsearch.client.client import Client
    from hpsearch.spec.views import StudyView

PANEL = "Run the service"
LOOK_S = 2.0  # between two looks at the studies
NEWS_S = 30.0  # between two lines on the progress of one study


def up() -> None:
    """Run everything on this machine until Ctrl-C: queue, database, API, workers.

    Studies that were interrupted go on.
    """
    from hpsearch.cli.console import say
    from hpsearch.cli.failures import EXIT_INTERRUPTED
    from hpsearch.cli.signals import listen
    from hpsearch.cli.stack import running_stack
    from hpsearch.client.client import Client
    from hpsearch.settings import read_settings

    listen()
    settings = read_settings()
    news = News()
    try:
        with running_stack(settings) as stack, Client(stack.url, stack.token) as client:
            say(f"hpsearch runs on {stack.url}, its data is in {settings.data_dir}")
            say(f"Look at it in a browser: {client.login_link()}")
            say("Ctrl-C stops it; studies go on at the next `hpsearch up`.")
            _tell_news(client, news)
    except KeyboardInterrupt:
        names = ", ".join(sorted(news.followed))
        say(f"Stopped. The next `hpsearch up` goes on with {names}." if names else "Stopped.")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def serve() -> None:
    """Run the API alone; HPSEARCH_DATABASE_URL and HPSEARCH_REDIS_URL say where the rest is."""
    from hpsearch.cli.console import say
    from hpsearch.client.discovery import running_url
    from hpsearch.local.address import announce, listen, url_of
    from hpsearch.settings import read_settings

    settings = read_settings()
    if settings.is_embedded:  # nobody else would do it; a cluster runs `hpsearch db upgrade`
        from hpsearch.storage import schema

        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        schema.upgrade(settings.resolved_database_url)
    listening = listen(settings.host, settings.port)
    url = url_of(settings.host, listening.getsockname()[1])
    if running_url(settings.data_dir) in {None, url}:  # else another is found, and stays so
        announce(settings.data_dir, url, os.getpid())
    listening.set_inheritable(True)
    say(f"hpsearch serves on {url}")
    sys.stdout.flush()
    _become("hpsearch.api", "--fd", str(listening.fileno()))


def worker() -> None:
    """Run the trainers of this machine alone; HPSEARCH_DEVICES says which devices."""
    _become("hpsearch.worker")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    commands: tuple[Callable[[], None], ...] = (up, serve, worker)
    for command in commands:
        app.command(rich_help_panel=PANEL)(command)


class News:
    """Turns looks at the studies into lines worth reading."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._told_at: dict[str, float] = {}
        self._told: dict[str, str] = {}

    @property
    def followed(self) -> set[str]:
        """Names of the studies that had not ended when last seen."""
        return set(self._states)

    def lines(self, studies: Iterable["StudyView"], now_s: float) -> list[str]:
        """Return what has changed: states at once, progress now and then."""
        told = []
        for study in studies:
            state = f"{study.state}" + (f" ({study.state_reason})" if study.state_reason else "")
            line = f"{study.name}: {state}, {_progress(study)}"
            is_new = self._states.get(study.name) != state
            is_due = now_s - self._told_at.get(study.name, now_s) >= NEWS_S
            if is_new or (is_due and self._told.get(study.name) != line):
                told.append(line)
                self._told[study.name], self._told_at[study.name] = line, now_s
            if study.state.has_ended:
                self._states.pop(study.name, None)
            else:
                self._states[study.name] = state
        return told

    def forget(self, name: str) -> None:
        """Drop a study that is gone."""
        self._states.pop(name, None)


def _tell_news(client: "Client", news: News) -> NoReturn:
    from hpsearch.cli.console import say

    while True:
        for line in news.lines(_unfinished(client, news), time.monotonic()):
            say(f"{datetime.now().astimezone():%H:%M:%S} {line}")
        time.sleep(LOOK_S)


def _unfinished(client: "Client", news: News) -> list["StudyView"]:
    """Return the studies that are active, and those that no longer are since the last look."""
    from hpsearch.errors import StudyNotFound, Unavailable
    from hpsearch.spec.states import StudyState

    try:
        studies = list(client.studies(state=StudyState.ACTIVE))
        for name in news.followed - {study.name for study in studies}:
            try:
                studies.append(client.study(name))
            except StudyNotFound:
                news.forget(name)
    except Unavailable:  # the API restarts; the next look will tell
        return []
    return studies


def _progress(study: "StudyView") -> str:
    from hpsearch.cli.console import format_values
    from hpsearch.cli.tables import trial_count

    best = study.best_trials[0] if study.best_trials else None
    tail = f", best {format_values(best.values)} (trial {best.number})" if best else ""
    return f"{trial_count(study)} trials{tail}"


def _become(module: str, *arguments: str) -> NoReturn:
    # -P: the folder one stands in must not shadow a package of the service
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - our own module
