"""Bodies up to a size."""

import contextlib

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpsearch.api.limits import BodyLimit
from hpsearch.errors import BodyTooLarge


async def echo_size(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


async def swallow_errors(scope: Scope, receive: Receive, send: Send) -> None:
    with contextlib.suppress(BodyTooLarge):
        await Request(scope, receive).body()
    await PlainTextResponse("fine")(scope, receive, send)


def answer(
    chunks: list[bytes], app: ASGIApp = echo_size, headers: dict[str, str] | None = None
) -> list[Message]:
    messages = [
        {"type": "http.request", "body": chunk, "more_body": i < len(chunks) - 1}
        for i, chunk in enumerate(chunks)
    ]
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": raw}
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    anyio.run(BodyLimit(app, 10), scope, receive, send)
    return sent


def test_a_body_of_exactly_the_limit_passes() -> None:
    assert answer([b"12345", b"67890"])[-1]["body"] == b"10"


def test_a_streamed_body_is_counted_whatever_its_headers_say() -> None:
    with pytest.raises(BodyTooLarge, match="at most 10 bytes"):
        answer([b"12345", b"67890", b"1"], headers={"content-length": "3"})


@pytest.mark.parametrize("announced", ["11", "9" * 5000])
def test_an_announced_size_is_refused_before_anything_is_read(announced: str) -> None:
    with pytest.raises(BodyTooLarge):
        answer([], headers={"content-length": announced})


@pytest.mark.parametrize("announced", ["-1", "abc", "", "1e3"])
def test_a_senseless_announcement_does_not_count(announced: str) -> None:
    assert answer([b"123"], headers={"content-length": announced})[-1]["body"] == b"3"


def test_an_app_that_swallows_the_error_cannot_answer_as_if_nothing_were() -> None:
    with pytest.raises(BodyTooLarge):
        answer([b"12345678901"], swallow_errors)
