"""What is up, what is down, and what happens to requests meanwhile."""

from importlib.metadata import version
from pathlib import Path

import pytest

from tests.services.in_process import served
from tests.studies import document

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
