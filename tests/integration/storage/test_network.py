"""A PostgreSQL that is cut off: nothing refuses a connection, and nothing answers."""

import socket
from collections.abc import Iterator

import pytest

from hpsearch.errors import ServiceDown
from hpsearch.storage import database as storage
from tests.studies import opened


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_server_that_says_nothing_is_down_after_a_few_seconds(
    silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(storage.NETWORK, "connect_timeout", 2)  # the least libpq takes
    url = f"postgresql+psycopg://somebody:secret@127.0.0.1:{silent_port}/x"

    with opened(url) as database, pytest.raises(ServiceDown, match="timeout") as caught:
        database.ping()

    assert "secret" not in str(caught.value)


def test_the_url_may_set_its_own_limits(postgres_url: str) -> None:
    mark = "&" if "?" in postgres_url else "?"
    with opened(f"{postgres_url}{mark}keepalives_idle=77") as database:
        database.ping()
        with database.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            limits = raw.info.get_parameters()

    assert limits["keepalives_idle"] == "77"
    assert limits["connect_timeout"] == "5"
    assert limits["tcp_user_timeout"] == "15000"
