"""One server over HTTP: retried requests, and its errors as exceptions."""

import ipaddress
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from hpsearch.client.decode import parse_json
from hpsearch.client.problems import error_from_problem, error_from_status
from hpsearch.errors import InvalidRequest, Unauthorized, Unavailable

N_TRIES = 5  # waits 0.1, 0.2, 0.4, 0.8 s in between, plus jitter: rides out a blip, not an outage
FIRST_WAIT_S = 0.1
CONNECT_S = 5.0  # a host that takes longer to accept is taken for absent
_BLOCK_BYTES = 1024**2
WORTH_RETRYING = frozenset({429, 502, 503, 504})


class FileBody:
    """The bytes of a file as the body of a request, piece by piece, and again for each try.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.n_bytes = path.stat().st_size

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block


class Connection:
    """Sends requests to one server until they are answered.

    Every call of the API is safe to repeat (a POST that creates carries an idempotency key), so
    a request whose answer was lost is simply sent again.

    Args:
        url: Where the server listens, such as ``http://127.0.0.1:8000``.
        token: Sent as bearer token, or None.
        timeout_s: Longest wait for one answer.
        transport: Replaces the network in tests.
        sleep: Waits between two tries.

    Raises:
        InvalidRequest: The token cannot stand in a header.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout_s: float,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._sleep = sleep
        headers = {"user-agent": f"hpsearch/{version('hpsearch')}", "accept": "application/json"}
        if token is not None:
            if not (token.isascii() and token.isprintable()):
                raise InvalidRequest("the token: expected visible ASCII characters alone")
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S)),
            transport=transport,
            trust_env=not is_loopback(self.url),  # a proxy cannot reach this machine's loopback
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Return the JSON of the answer, None if it has none.

        Args:
            method: The HTTP verb.
            path: From ``/v1`` on, already quoted.
            params: Query parameters; None values are left out.
            body: Bytes, text or a file as they are (name their type in ``headers``), else sent
                as JSON.
            headers: Further headers.
            timeout_s: Longest wait for this answer.

        Raises:
            HpsearchError: What the server raised, by its problem's type.
            Unavailable: No answer after all tries.
        """
        request = self._http.build_request(
            method,
            path,
            params={name: value for name, value in (params or {}).items() if value is not None},
            content=body
            if body is None or isinstance(body, bytes | str | FileBody)
            else _to_json(body),
            headers=_body_headers(body) | dict(headers or {}),
            timeout=httpx.USE_CLIENT_DEFAULT if timeout_s is None else timeout_s,
        )
        response, n_tried = self._answer(request)
        if method == "DELETE" and n_tried > 0 and response.status_code == 404:
            return None  # an earlier try got through, its answer did not
        return _read(response, self.url)

    def fetch(self, path: str, *, params: Mapping[str, Any] | None = None) -> bytes:
        """Return an answer that is no JSON, such as a model, as it is.

        Raises:
            HpsearchError: What the server raised, by its problem's type.
            Unavailable: No answer after all tries.
        """
        request = self._http.build_request("GET", path, params=params, headers={"accept": "*/*"})
        response, _ = self._answer(request)
        if not response.is_success:
            _read(response, self.url)
        return response.content

    @contextmanager
    def stream(
        self, path: str, *, params: Mapping[str, Any], silence_s: float
    ) -> Iterator[Iterator[str]]:
        """Open a stream of events and give its lines; it is not opened again when it breaks.

        Args:
            path: From ``/v1`` on.
            params: Query parameters.
            silence_s: Longest time without a line.

        Raises:
            HpsearchError: What the server raised, by its problem's type.
            httpx.TransportError: The connection broke.
        """
        timeout = httpx.Timeout(silence_s, connect=CONNECT_S)
        accept = {"accept": "text/event-stream"}
        with self._http.stream(
            "GET", path, params=params, headers=accept, timeout=timeout
        ) as response:
            if not response.is_success:
                response.read()
                _read(response, self.url)
            yield response.iter_lines()

    def _answer(self, request: httpx.Request) -> tuple[httpx.Response, int]:
        n_tried = 0
        while True:
            is_last = n_tried == N_TRIES - 1
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                if is_last:
                    raise self.unreachable(error) from error
            else:
                if is_last or response.status_code not in WORTH_RETRYING:
                    return response, n_tried
            self._wait(n_tried)
            n_tried += 1

    def _wait(self, n_tried: int) -> None:
        self._sleep(FIRST_WAIT_S * 2**n_tried * random.uniform(1.0, 1.5))  # noqa: S311 - jitter

    def unreachable(self, error: httpx.TransportError) -> Unavailable:
        """Return what to raise when the server cannot be reached."""
        why = str(error) or type(error).__name__
        return Unavailable(
            f"no answer from {self.url} ({why}): start a server with `hpsearch up`, "
            "or set HPSEARCH_URL to where one runs"
        )


def _read(response: httpx.Response, url: str) -> Any:
    if response.is_success and not response.content:
        return None
    media_type = response.headers.get("content-type", "").split(";")[0].strip()
    try:
        value = parse_json(response.content) if media_type.endswith("json") else None
    except ValueError:
        value = None
    if response.is_success and value is not None:
        return value
    error = (
        error_from_problem(response.status_code, value)
        if isinstance(value, dict)
        else error_from_status(response.status_code, media_type or "no content type")
    )
    if isinstance(error, Unauthorized):
        error.args = (f"{error}: set HPSEARCH_TOKEN to a token of {url}",)
    raise error


def _body_headers(body: Any) -> dict[str, str]:
    if body is None:
        return {}
    length = {"content-length": str(body.n_bytes)} if isinstance(body, FileBody) else {}
    return {"content-type": "application/json", **length}


def is_loopback(url: str) -> bool:
    """Return whether ``url`` names this machine."""
    host = httpx.URL(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _to_json(body: Any) -> bytes:
    return json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
