"""What is up, what is down, and what happens to requests meanwhile."""

from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import pytest

from hpsearch.storage import workers
from hpsearch.storage.database import now
from tests.services.in_process import served
from tests.studies import document, stored

NOWHERE = "postgresql+psycopg://bob:secret@127.0.0.1:1/nothing"


def test_a_healthy_server_tells_its_version_to_anybody(sqlite_url: str, tmp_path: Path) -> None:
    with served(sqlite_url, tmp_path) as http:
        answer = http.get("/healthz", token=None)
    assert answer.json() == {"status": "ok", "version": version("hpsearch")}


def test_a_server_with_all_it_needs_is_ready(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with served(database_url, tmp_path, redis_url=redis_url) as http:
        answer = http.get("/readyz", token=None)
    assert answer.status_code == 200
    assert answer.json()["checks"] == {"database": "ok", "schema": "ok", "redis": "ok"}


def test_a_missing_redis_is_named_and_all_else_works(database_url: str, tmp_path: Path) -> None:
    with served(database_url, tmp_path) as http:
        answer = http.get("/readyz", token=None)
        assert (answer.status_code, answer.json()["down"]) == (503, ["redis"])
        assert answer.json()["type"] == "/problems/unavailable"
        assert http.post("/v1/studies", json=document()).status_code == 201


def test_a_database_without_our_tables_is_not_ready(
    empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with served(empty_database_url, tmp_path, redis_url=redis_url) as http:
        answer = http.get("/readyz", token=None)
        assert (answer.status_code, answer.json()["down"]) == (503, ["schema"])
        assert http.get("/healthz", token=None).status_code == 200
        assert http.get("/v1/studies").status_code == 503


@pytest.mark.parametrize("token", ["the-admin-token", "another"])
def test_an_absent_database_is_503_without_its_address(tmp_path: Path, token: str) -> None:
    with served(NOWHERE, tmp_path) as http:
        answer = http.get("/v1/studies", token=token)
        ready = http.get("/readyz", token=None)
        page = http.get("/", headers={"accept": "text/html"})
    assert answer.status_code == 503
    assert answer.json()["service"] == "database"
    assert answer.headers["retry-after"]
    assert "database" in ready.json()["down"]
    assert page.status_code == 503
    for text in (answer.text, ready.text, page.text):
        assert "127.0.0.1" not in text
        assert "bob" not in text
        assert "secret" not in text


def numbers(text: str) -> dict[str, float]:
    """Return the samples of Prometheus' text form."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_count_studies_trials_and_requests(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with served(database_url, tmp_path, redis_url=redis_url) as http:
        hand = stored(http.database, limits={"max_trials": 9})
        first, _ = hand.claim(2)
        hand.finish(first)
        with http.database.write() as tx:
            at = now(tx)
            workers.touch(tx, "alive", "cpu:0", hand.uuid, 1, at)
            workers.touch(tx, "dead", "cpu:1", hand.uuid, 1, at - timedelta(minutes=5))
        http.get("/v1/studies/nothing")
        answer = http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = numbers(answer.text)
    assert found['hpsearch_studies{state="ACTIVE"}'] == 1
    assert found['hpsearch_studies{state="FAILED"}'] == 0
    assert found['hpsearch_trials{state="RUNNING"}'] == 1
    assert found['hpsearch_trials{state="COMPLETE"}'] == 1
    assert found["hpsearch_device_seconds"] == 1
    assert found['hpsearch_workers{device="cpu",state="busy"}'] == 1
    assert found['hpsearch_http_requests_total{method="GET",status="404"}'] == 1
    assert (found["hpsearch_redis_up"], found["hpsearch_queue_turns"]) == (1, 0)


def test_metrics_need_a_token_and_no_redis(sqlite_url: str, tmp_path: Path) -> None:
    with served(sqlite_url, tmp_path) as http:
        assert http.get("/metrics", token=None).status_code == 401
        found = numbers(http.get("/metrics").text)
    assert found["hpsearch_redis_up"] == 0
    assert "hpsearch_queue_turns" not in found
