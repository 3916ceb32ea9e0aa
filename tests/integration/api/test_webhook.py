"""The bell at a study's end: once, patiently, and without giving its address away."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import update

from hpsearch.api.lifespan import lifespan_of
from hpsearch.api.webhook import Webhook, WebhookThread
from hpsearch.settings import Settings
from hpsearch.storage import tables
from hpsearch.storage.database import Database, now
from hpsearch.studies.control import cancel, resume, stop
from hpsearch.studies.notices import MAX_TRIES, News, Outcome, tell_one
from tests.services.in_process import served
from tests.studies import opened, stored

SECRET = "T0-not-for-logs"


class Receiver:
    """A web server that answers as it is told, and keeps what it got."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.hangs = threading.Event()
        self.hangs.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((self.path, dict(self.headers), json.loads(body)))
                receiver.hangs.wait(5)
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/{SECRET}"


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hangs.set()
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def make_due(database: Database) -> None:
    """Let the wait between two tries be over."""
    with database.write() as tx:
        at = now(tx) - timedelta(seconds=1)
        is_waiting = tables.notices.c.next_try_at.is_not(None)
        tx.execute(update(tables.notices).where(is_waiting).values(next_try_at=at))


def test_a_study_that_ends_is_told_once_with_its_results(
    database: Database, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    hand = stored(database, limits={"max_trials": 1})
    bell = WebhookThread(database, receiver.url)
    bell.look()
    assert receiver.got == []
    (trial,) = hand.claim(1)
    hand.finish(trial, 0.75)

    bell.look()
    bell.look()
    WebhookThread(database, receiver.url).look()

    ((path, headers, body),) = receiver.got
    assert path == f"/hook/{SECRET}"
    assert body["event"] == "study_finished"
    assert (body["study"]["name"], body["study"]["state"]) == ("study", "COMPLETED")
    assert body["study"]["best_trials"][0]["values"] == {"val_accuracy": 0.75}
    assert headers["X-Hpsearch-Delivery"] == body["delivery"]
    assert SECRET not in "".join(capsys.readouterr())


def test_the_server_tells_by_itself(sqlite_url: str, tmp_path: Path, receiver: Receiver) -> None:
    url = SecretStr(receiver.url)
    with served(sqlite_url, tmp_path / "data", webhook_url=url) as http:
        stored(http.database)
        cancel(http.database, "study")

        async def live() -> None:
            async with lifespan_of(http.app.state.services)(http.app):
                with anyio.fail_after(30):
                    while not receiver.got:
                        await anyio.sleep(0.05)

        anyio.run(live)
    assert [body["study"]["name"] for _, _, body in receiver.got] == ["study"]


def test_each_end_of_a_study_is_told(database: Database) -> None:
    stored(database)
    told: list[News] = []

    def tell(news: News) -> Outcome:
        told.append(news)
        return Outcome.TOLD

    stop(database, "study")
    assert tell_one(database, tell)
    resume(database, "study")
    assert not tell_one(database, tell)
    cancel(database, "study")
    assert tell_one(database, tell)
    assert not tell_one(database, tell)
    assert [news.study.state for news in told] == ["STOPPED", "CANCELLED"]


def test_a_receiver_that_is_away_is_tried_again_later_and_not_for_ever(
    database: Database,
) -> None:
    stored(database)
    cancel(database, "study")
    tried: list[str] = []

    def away(news: News) -> Outcome:
        tried.append(news.delivery)
        return Outcome.UNREACHABLE

    assert tell_one(database, away)
    assert not tell_one(database, away), "the wait is not over"
    for _ in range(2 * MAX_TRIES):
        make_due(database)
        tell_one(database, away)
    assert len(tried) == MAX_TRIES
    assert len(set(tried)) == 1


def test_two_servers_do_not_tell_the_same_twice(database: Database) -> None:
    for number in range(4):
        stored(database, f"study-{number}")
        cancel(database, f"study-{number}")
    told: list[str] = []

    def tell(news: News) -> Outcome:
        told.append(news.study.name)
        return Outcome.TOLD

    def server() -> None:
        while tell_one(database, tell):
            pass

    threads = [threading.Thread(target=server) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [f"study-{number}" for number in range(4)]


def test_an_end_of_long_ago_is_no_news(database: Database) -> None:
    stored(database)
    cancel(database, "study")
    with database.write() as tx:
        old = now(tx) - timedelta(days=2)
        tx.execute(update(tables.studies).values(finished_at=old))
    assert not tell_one(database, lambda _: Outcome.TOLD)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.TOLD),
        (204, Outcome.TOLD),
        (302, Outcome.REFUSED),
        (307, Outcome.REFUSED),
        (404, Outcome.REFUSED),
        (429, Outcome.UNREACHABLE),
        (500, Outcome.UNREACHABLE),
        (503, Outcome.UNREACHABLE),
    ],
)
def test_the_status_says_what_becomes_of_it_and_no_redirect_is_followed(
    sqlite_url: str, receiver: Receiver, status: int, outcome: Outcome
) -> None:
    receiver.answers = [status]
    assert Webhook(receiver.url).tell(some_news(sqlite_url)) is outcome
    assert [path for path, _, _ in receiver.got] == [f"/hook/{SECRET}"]


def test_a_receiver_that_hangs_or_is_not_there_is_left_without_its_address_in_the_log(
    sqlite_url: str, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    news = some_news(sqlite_url)
    receiver.hangs.clear()
    assert Webhook(receiver.url, timeout_s=0.1).tell(news) is Outcome.UNREACHABLE
    gone = f"http://127.0.0.1:1/{SECRET}"
    assert Webhook(gone, timeout_s=1).tell(news) is Outcome.UNREACHABLE
    logged = "".join(capsys.readouterr())
    assert "webhook_unreachable" in logged
    assert SECRET not in logged


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "http://", "http://u:p@h/"])
def test_an_address_that_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="expected http"):
        Settings(_env_file=None, webhook_url=url)


def some_news(url: str) -> News:
    found: list[News] = []

    def keep(news: News) -> Outcome:
        found.append(news)
        return Outcome.TOLD

    with opened(url) as database:
        stored(database)
        cancel(database, "study")
        tell_one(database, keep)
    return found[0]
