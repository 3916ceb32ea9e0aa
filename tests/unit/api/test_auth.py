"""Tokens, cookies and origins."""

from typing import Any

import anyio
import pytest
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from hpsearch.api.auth import (
    Gate,
    Identity,
    bearer_token,
    cookie_name,
    cookie_token,
    cookie_value,
    require_same_origin,
    require_scope,
)
from hpsearch.errors import Forbidden, Unauthorized

OWNERS = {
    "r": Identity("ann", "read"),
    "w": Identity("ann", "write"),
    "a": Identity("bob", "admin"),
}


class Book:
    """Knows three tokens."""

    def known(self, token: str) -> Identity | None:
        return None

    def identify(self, token: str) -> Identity:
        if token not in OWNERS:
            raise Unauthorized("nobody's")
        return OWNERS[token]


def connection(scheme: str = "http", **headers: str) -> HTTPConnection:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "scheme": scheme, "path": "/", "headers": raw})


def passed(method: str, path: str, **headers: str) -> dict[str, Any]:
    """Return the state with which the gate lets a request in."""
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def nothing(*_message: Message) -> Any:
        raise AssertionError

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "scheme": "http",
        "query_string": b"",
        "headers": raw,
    }
    anyio.run(Gate(app, Book()), scope, nothing, nothing)
    state: dict[str, Any] = seen[0].get("state", {})
    return state


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_health_checks_are_open(path: str) -> None:
    assert passed("GET", path) == {}


@pytest.mark.parametrize("path", ["/", "/v1/studies", "/docs", "/openapi.json", "/healthz/", "/x"])
def test_everything_else_needs_a_token_even_what_does_not_exist(path: str) -> None:
    with pytest.raises(Unauthorized):
        passed("GET", path)


def test_the_identity_of_the_token_goes_with_the_request() -> None:
    state = passed("GET", "/v1/studies", authorization="bearer r")
    assert state["identity"] == Identity("ann", "read")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_a_reading_token_writes_nothing(method: str) -> None:
    with pytest.raises(Forbidden, match="scope write"):
        passed(method, "/v1/studies", authorization="Bearer r")
    assert passed(method, "/v1/studies", authorization="Bearer w")


def test_a_reading_token_may_have_a_definition_checked() -> None:
    assert passed("POST", "/v1/studies:validate", authorization="Bearer r")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  ", "Basic dTpw", "r"])
def test_a_header_of_another_form_is_refused_and_no_cookie_makes_up_for_it(header: str) -> None:
    value = cookie_value("a")
    with pytest.raises(Unauthorized, match="Authorization: Bearer"):
        passed("GET", "/", authorization=header, host="h:1", cookie=f"hpsearch-1={value}")


@pytest.mark.parametrize(
    ("scope", "needed", "is_enough"),
    [
        ("read", "read", True),
        ("read", "write", False),
        ("write", "read", True),
        ("write", "admin", False),
        ("admin", "write", True),
        ("root", "read", False),
    ],
)
def test_a_scope_includes_the_ones_before_it(scope: str, needed: Any, is_enough: bool) -> None:
    if is_enough:
        require_scope(Identity("ann", scope), needed)
    else:
        with pytest.raises(Forbidden):
            require_scope(Identity("ann", scope), needed)


@pytest.mark.parametrize("token", ["plain-token_1", 'quotes "; and spaces', "ünïcode"])
def test_a_cookie_gives_the_token_back(token: str) -> None:
    came = connection(host="h:1", cookie=f"other=x; hpsearch-1={cookie_value(token)}; last")
    assert cookie_token(came) == token


@pytest.mark.parametrize("value", ["%%%", "w6", "a", ""])
def test_a_damaged_cookie_is_no_token(value: str) -> None:
    with pytest.raises(Unauthorized):
        cookie_token(connection(host="h:1", cookie=f"hpsearch-1={value}"))


def test_servers_on_two_ports_of_one_host_do_not_share_a_cookie() -> None:
    assert cookie_name(connection(host="localhost:8000")) != cookie_name(
        connection(host="localhost:8001")
    )


@pytest.mark.parametrize("host", ["", "[", "h:99999999", "h:x", "[::1]:8000"])
def test_a_strange_host_breaks_nothing(host: str) -> None:
    assert cookie_name(connection(host=host)).startswith("hpsearch-")


def test_reading_by_cookie_needs_no_origin_and_writing_does() -> None:
    cookie = f"hpsearch-8000={cookie_value('a')}"
    headers = {"host": "here:8000", "cookie": cookie}
    assert passed("GET", "/v1/studies", **headers)
    with pytest.raises(Forbidden, match="Origin"):
        passed("POST", "/v1/studies", **headers)
    assert passed("POST", "/v1/studies", **headers, origin="http://here:8000")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://here:8001",
        "https://here:8000",
        "http://here",
        "http://here:8000.evil.example",
        "http://x@evil.example:8000",
        "null",
        "",
        "http://[",
    ],
)
def test_another_pages_origin_is_refused(origin: str) -> None:
    with pytest.raises(Forbidden):
        require_same_origin(connection(host="here:8000", origin=origin))


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", "Here:8000", "http://here:8000"),
        ("http", "here", "http://here"),
        ("https", "here", "https://here"),
        ("https", "here:443", "https://here"),
        ("http", "[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_our_own_pages_origin_passes(scheme: str, host: str, origin: str) -> None:
    require_same_origin(connection(scheme, host=host, origin=origin))


def test_no_header_means_no_bearer_token() -> None:
    assert bearer_token(connection()) is None
