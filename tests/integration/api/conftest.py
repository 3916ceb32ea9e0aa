"""The API on real databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.in_process import Http, served


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
