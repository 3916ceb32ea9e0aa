"""Optuna Dashboard under ``/dashboard/``, for looking only.

It is a WSGI app whose page asks for absolute addresses (``/api``, ``/static``, ``/csv``), so
these are its own too. Only the readings named in ``READINGS`` reach it: everything else it can
do writes, and its connections could not. It is loaded when somebody first looks.
"""

import io
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hpsearch.errors import BrokenInvariant, FieldError, NotFound, RequestInvalid
from hpsearch.storage.database import Database
from hpsearch.storage.optuna_view import close_optuna_view, open_optuna_view

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

DASHBOARD_PREFIXES = ("/dashboard", "/static", "/api", "/csv")
READINGS = re.compile(
    r"/dashboard/.*"
    r"|/static/[A-Za-z0-9._-]+"
    r"|/api/meta|/api/studies"
    r"|/api/studies/\d{1,9}(/param_importances)?"
    r"|/csv/\d{1,9}",
    re.ASCII,
)
_NUMBERS = re.compile(r"\d{1,9}(,\d{1,9})*", re.ASCII)
_PASSED_HEADERS = {  # nothing that is secret
    "accept-encoding": "HTTP_ACCEPT_ENCODING",
    "if-modified-since": "HTTP_IF_MODIFIED_SINCE",
    "range": "HTTP_RANGE",
}


class Dashboard:
    """The WSGI app as an ASGI app, read-only.

    Args:
        database: Whose studies to show.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wsgi: Wsgi | None = None
        self._storage: Any = None
        self._loading = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one reading.

        Raises:
            HTTPException: 405 for anything that is no reading.
            NotFound: There is no such reading.
            RequestInvalid: A query that the dashboard would stumble over.
            ServiceDown: The database does not answer.
        """
        if scope["method"] != "GET":
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        if not READINGS.fullmatch(scope["path"]):
            raise NotFound("the dashboard has nothing at this address")
        _check_query(scope["query_string"])
        response: Response = await run_in_threadpool(self._answer, _environ(scope))
        await response(scope, receive, send)

    def _answer(self, environ: dict[str, Any]) -> Response:
        started: dict[str, Any] = {}

        def start_response(
            status: str, headers: list[tuple[str, str]], _error: object = None
        ) -> None:
            started.update(status=int(status.split(" ", 1)[0]), headers=headers)

        chunks = self._load()(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            getattr(chunks, "close", lambda: None)()
        if started["status"] == 404:
            raise NotFound("the dashboard has no such study")
        if started["status"] >= 500:
            self._database.ping()
            raise BrokenInvariant(f"the dashboard failed at {environ['PATH_INFO']}")
        response = _response(started["status"], started["headers"], body)
        if environ["PATH_INFO"].startswith("/static/"):
            response.headers["Cache-Control"] = "private, max-age=3600"
        return response

    def _load(self) -> Wsgi:
        with self._loading:
            if self._wsgi is None:
                with _without_sklearn():
                    from optuna_dashboard import wsgi

                self._storage = open_optuna_view(self._database)
                self._wsgi = wsgi(self._storage)
            return self._wsgi

    def close(self) -> None:
        """Close its connections."""
        with self._loading:
            if self._storage is not None:
                close_optuna_view(self._storage)


@contextmanager
def _without_sklearn() -> Iterator[None]:
    """Have the imports in the block go without scikit-learn.

    For Optuna it is optional, used by importance evaluators that the dashboard never calls; it
    would cost this process 95 MB and a second.
    """
    is_loaded = "sklearn" in sys.modules
    if not is_loaded:
        sys.modules["sklearn"] = None  # type: ignore[assignment]  # means: cannot be imported
    try:
        yield
    finally:
        if not is_loaded:
            del sys.modules["sklearn"]


def _check_query(query: bytes) -> None:
    for name, value in parse_qsl(query.decode("latin-1")):
        if name in {"after", "trial_ids"} and not _NUMBERS.fullmatch(value):
            raise RequestInvalid([FieldError((name,), "expected numbers", value)])


def _environ(scope: Scope) -> dict[str, Any]:
    headers = Headers(scope=scope)
    passed = {key: headers[name] for name, key in _PASSED_HEADERS.items() if name in headers}
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_ACCEPT_ENCODING": "",  # it reads this header unasked
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **passed,
    }


def _response(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Response:
    kept: Mapping[str, str] = {
        name: value for name, value in headers if name.lower() != "content-length"
    }
    return Response(body, status, headers=dict(kept))
