"""The API on real databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.storage.schema import upgrade
from tests.services.in_process import Http, served
from tests.services.postgres import PostgresServer


@pytest.fixture
def http(database_url: str, tmp_path: Path) -> Iterator[Http]:
    """The API on SQLite and on PostgreSQL; the test runs once per kind."""
    with served(database_url, tmp_path / "data") as http:
        yield http


@pytest.fixture
def lite(sqlite_url: str, tmp_path: Path) -> Iterator[Http]:
    """The API on SQLite."""
    with served(sqlite_url, tmp_path / "data") as http:
        yield http


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_http(
    request: pytest.FixtureRequest,
    postgres_admin: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Http]:
    """One API per kind of database for all tests of a module that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'hpsearch.db'}"
        upgrade(url)
    else:
        url = postgres_admin.create(request.getfixturevalue("postgres_template"))
    with served(url, folder / "data") as http:
        yield http
    if request.param == "postgresql":
        postgres_admin.drop(url)
