import socket

import pytest

from hpsearch.errors import ServiceDown
from hpsearch.local import address
from hpsearch.local.address import listen, url_of


def test_the_next_free_port_is_taken_when_the_first_is_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr(address, "FIRST_PORT", taken)
        with listen("127.0.0.1", None) as mine:
            assert mine.getsockname()[1] != taken


def test_port_zero_is_any_free_port() -> None:
    with listen("127.0.0.1", 0) as mine:
        assert mine.getsockname()[1] > 0


def test_a_port_in_use_cannot_be_taken_twice() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(ServiceDown, match="is taken"):
        listen("127.0.0.1", first.getsockname()[1])


def test_a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(ServiceDown, match=r"no-such-host\.invalid"):
        listen("no-such-host.invalid", 0)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("box.lan", "http://box.lan:8000"),
    ],
)
def test_a_url_is_what_clients_here_can_use(host: str, url: str) -> None:
    assert url_of(host, 8000) == url
