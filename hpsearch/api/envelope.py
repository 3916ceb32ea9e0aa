"""What every request gets: an id, an answer whatever happens, safe headers, a log line."""

import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpsearch import errors
from hpsearch.api.errors import problem
from hpsearch.api.exposition import Requests
from hpsearch.api.pages.failure import failure_page, wants_page
from hpsearch.logs import facts, get_logger

log = get_logger(__name__)

SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # `no-referrer` would turn the Origin of forms into null
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer that does not say otherwise."""

ORDINARY = range(200, 400)  # of a GET: pages and clients look every second
PROBED_PATHS = frozenset({"/healthz", "/readyz"})  # every few seconds, also while down


class Envelope:
    """The outermost layer: nothing gets out of it but an answer.

    An error of any kind becomes a problem (a page where a browser asked for one). HEAD is
    answered as GET; the server cuts the body off.
    """

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        inner = {**scope, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}
        inner["state"] = {**scope.get("state", {}), "request_id": request_id}
        answer = _Answer(send, request_id)
        started_at = time.monotonic()
        with facts(request_id=request_id):
            try:
                await self._app(inner, receive, answer.send)
            except ClientDisconnect:
                log.debug("client_disconnected", path=scope["path"])
            except Exception as error:
                await self._fail(error, inner, receive, answer)
            seconds = time.monotonic() - started_at
            if answer.status is not None:
                self._requests.add(scope["method"], answer.status, seconds)
            is_ordinary = inner["method"] == "GET" and answer.status in ORDINARY
            level = log.debug if is_ordinary or scope["path"] in PROBED_PATHS else log.info
            # never the query: /login has the token in it
            level(
                "request_answered",
                method=scope["method"],
                path=scope["path"],
                status=answer.status,
                duration_s=round(seconds, 4),
            )

    async def _fail(
        self, error: Exception, scope: Scope, receive: Receive, answer: "_Answer"
    ) -> None:
        response = problem(error, scope)
        if response.status_code == 500:
            log.error("request_failed", path=scope["path"], exc_info=error)
        elif isinstance(error, errors.Unavailable):
            log.warning("request_refused", path=scope["path"], reason=str(error))
        if answer.status is not None:
            raise error  # half an answer is out: all that is left is to break the connection
        request = Request(scope)
        if wants_page(request):
            page = failure_page(request, response)
            await page(scope, receive, answer.send)
        else:
            await response(scope, receive, answer.send)


class _Answer:
    """Sends one answer on, with the safe headers, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self._request_id
        await self._send(message)
