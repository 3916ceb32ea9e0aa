"""Server-sent events over a real connection."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hpsearch.studies.control import stop
from tests.services.in_process import ADMIN, Http
from tests.services.live_server import LiveServer, live_server
from tests.studies import stored

TOKEN = {"authorization": f"Bearer {ADMIN}"}


@pytest.fixture
def server(sqlite_url: str, tmp_path: Path) -> Iterator[LiveServer]:
    with live_server(sqlite_url, tmp_path / "data") as server:
        yield server


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
    """Parse a stream: kind, id and data of each event; comments are passed over."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            place = int(fields["id"]) if "id" in fields else None
            yield fields["event"], place, json.loads(fields["data"])
            fields = {}


def test_a_stream_tells_what_happens_and_ends_with_the_study(server: LiveServer) -> None:
    hand = stored(server.database, limits={"max_trials": 1})
    with (
        httpx.Client(base_url=server.url, headers=TOKEN, trust_env=False, timeout=20) as client,
        client.stream("GET", "/v1/studies/study/events") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        events = events_of(answer.iter_lines())
        kind, first_id, study = next(events)
        assert (kind, study["study"], study["state"]) == ("study", "study", "ACTIVE")
        trial = hand.claim(1)[0]
        hand.epoch(trial, 1, 0.5)
        kind, _, started = next(events)
        assert (kind, started["number"]) == ("trial_started", 0)
        assert next(events)[2]["metrics"]["val_accuracy"] == 0.5
        hand.finish(trial, 0.75, epoch=2)
        rest = list(events)
    assert [kind for kind, _, _ in rest if kind != "study"] == ["epoch", "trial_finished"]
    kind, last_id, final = rest[-1]
    assert (kind, final["state"], final["counts"]["complete"]) == ("study", "COMPLETED", 1)
    assert "definition" not in final
    assert first_id is not None
    assert last_id is not None
    assert last_id > first_id


def test_numbers_that_json_cannot_write_are_named(server: LiveServer) -> None:
    hand = stored(server.database)
    hand.epoch(hand.claim(1)[0], 1, float("inf"))
    stop(server.database, "study")
    with httpx.stream(
        "GET", f"{server.url}/v1/studies/study/events?after=0", headers=TOKEN, trust_env=False
    ) as answer:
        events = events_of(answer.iter_lines())
        metrics = next(data["metrics"] for kind, _, data in events if kind == "epoch")
    assert metrics["val_accuracy"] is None
    assert metrics["nonfinite"]["val_accuracy"] == "inf"


def test_the_header_of_a_browser_that_comes_back_wins_over_the_address(lite: Http) -> None:
    hand = stored(lite.database, limits={"max_trials": 2})
    for trial in hand.claim(2):
        hand.finish(trial)
    url = "/v1/studies/study/events?after=0"
    told = list(events_of(iter(lite.get(url).text.splitlines())))
    assert [kind for kind, _, _ in told].count("trial_finished") == 2
    last_id = str(told[-1][1])
    again = lite.get(url, headers={"Last-Event-ID": last_id}).text
    assert [kind for kind, _, _ in events_of(iter(again.splitlines()))] == ["study"]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?after=x", {}),
        ("?after=-1", {}),
        ("?after=99999999999999999999", {}),
        ("?before=1", {}),
        ("", {"Last-Event-ID": "x"}),
        ("", {"Last-Event-ID": "9" * 19}),
    ],
)
@pytest.mark.parametrize("path", ["/v1/events", "/v1/studies/study/events"])
def test_a_place_that_is_none_is_refused(
    lite: Http, path: str, query: str, headers: dict[str, str]
) -> None:
    answer = lite.get(path + query, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/request-invalid"


def test_a_stream_needs_a_study_and_a_token(lite: Http) -> None:
    assert lite.get("/v1/studies/none/events").status_code == 404
    assert lite.get("/v1/events", token=None).status_code == 401


def test_streams_end_when_the_server_does(sqlite_url: str, tmp_path: Path) -> None:
    with live_server(sqlite_url, tmp_path / "data") as server:
        stored(server.database)
        client = httpx.Client(base_url=server.url, headers=TOKEN, trust_env=False, timeout=20)
        answer = client.send(client.build_request("GET", "/v1/events"), stream=True)
        events = events_of(answer.iter_lines())
        assert next(events)[0] == "study"
        began_at = time.monotonic()
    assert time.monotonic() - began_at < 3
    assert [kind for kind, _, _ in events if kind != "study"] == []
    client.close()
