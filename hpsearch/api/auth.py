"""Who may do what: bearer tokens, the cookie that stands for one, and the login link.

Every address needs a token but the two health checks and the login itself, unknown addresses
included. That also settles DNS rebinding: a foreign name that resolves to this server carries
neither the token nor the cookie (cookies belong to the name), the open addresses tell nothing
worth stealing, and no answer is built from the ``Host`` header. So any name may lead here: a
proxy, a tunnel, a port forwarded by an editor.
"""

import base64
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from hpsearch.errors import Forbidden, Unauthorized
from hpsearch.storage.database import Database
from hpsearch.studies.tokens import find_token, is_same_token

TokenScope = Literal["read", "write", "admin"]

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
READING_POSTS = frozenset({"/v1/studies:validate"})  # they change nothing
RANKS: dict[str, int] = {"read": 0, "write": 1, "admin": 2}
MAX_TOKEN_CHARS = 512
COOKIE_LIFE_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request.

    Attributes:
        owner: Whose token it is.
        scope: What the token allows; each scope includes the ones before it.
    """

    owner: str
    scope: str


class Identifier(Protocol):
    """Tells who a token belongs to."""

    def known(self, token: str) -> Identity | None:
        """Return whose it is if that takes no waiting, else None."""

    def identify(self, token: str) -> Identity:
        """Return whose it is, or raise ``Unauthorized``."""


class TokenBook:
    """Tells whose token it is: the server's own or one of the database's.

    Tokens are compared and looked up by their hashes, in constant time: how long it takes says
    nothing about a token.

    Args:
        admin_token: The server's own.
        database: Where the others are.
    """

    def __init__(self, admin_token: str, database: Database) -> None:
        self._admin_token = admin_token
        self._database = database

    def known(self, token: str) -> Identity | None:
        """Return the admin for the server's own token, None for any other."""
        is_own = 0 < len(token) <= MAX_TOKEN_CHARS and is_same_token(token, self._admin_token)
        return Identity("admin", "admin") if is_own else None

    def identify(self, token: str) -> Identity:
        """Return who the token belongs to.

        Raises:
            Unauthorized: Nobody.
            ServiceDown: The database does not answer, and it is not the server's own.
        """
        known = self.known(token)
        if known is not None:
            return known
        if token and len(token) <= MAX_TOKEN_CHARS:
            record = find_token(self._database, token)
            if record is not None:
                return Identity(record.owner, str(record.scope))
        raise Unauthorized("this token is not valid here")


class Gate:
    """Lets a request in if its token allows what it asks for.

    Reading takes ``read``, everything else ``write``. The identity is left in
    ``request.state.identity``.
    """

    def __init__(self, app: ASGIApp, book: Identifier) -> None:
        self._app = app
        self._book = book

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request.

        Raises:
            Unauthorized: No token, or one that nobody has.
            Forbidden: The token's scope is too narrow, or the request is a foreign page's.
        """
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            connection = HTTPConnection(scope)
            token = bearer_token(connection)
            is_reading = scope["method"] in SAFE_METHODS or scope["path"] in READING_POSTS
            if token is None:
                token = cookie_token(connection)
                if scope["method"] not in SAFE_METHODS:
                    require_same_origin(connection)
            identity = self._book.known(token)
            if identity is None:
                identity = await run_in_threadpool(self._book.identify, token)
            require_scope(identity, "read" if is_reading else "write")
            scope["state"] = {**scope.get("state", {}), "identity": identity}
        await self._app(scope, receive, send)


def require_scope(identity: Identity, needed: TokenScope) -> None:
    """Return if the token's scope includes ``needed``.

    Raises:
        Forbidden: It does not.
    """
    if RANKS.get(identity.scope, -1) < RANKS[needed]:
        raise Forbidden(f"this needs a token of scope {needed}, yours has {identity.scope}")


def bearer_token(connection: HTTPConnection) -> str | None:
    """Return the token of the ``Authorization`` header, None if there is no such header.

    Raises:
        Unauthorized: There is one, but not of the form ``Bearer <token>``.
    """
    header = connection.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("the header must be `Authorization: Bearer <token>`")
    return token.strip()


def cookie_token(connection: HTTPConnection) -> str:
    """Return the token of the login cookie.

    Raises:
        Unauthorized: There is none.
    """
    value = connection.cookies.get(cookie_name(connection))
    if not value:
        raise Unauthorized(
            "a token is needed: send `Authorization: Bearer <token>`, "
            "or open the login link that the server printed"
        )
    try:
        padded = value + "=" * (-len(value) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise Unauthorized("the login cookie is damaged; log in again") from error


def cookie_value(token: str) -> str:
    """Return the token in characters that every cookie may hold."""
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def cookie_name(connection: HTTPConnection) -> str:
    """Return the name of the login cookie: browsers share cookies between ports of one host."""
    _host, port = _authority(connection)
    return f"hpsearch-{port}"


def require_same_origin(connection: HTTPConnection) -> None:
    """Return if the page that sends this request is one of ours.

    Raises:
        Forbidden: It is not, or it does not say.
    """
    origin = connection.headers.get("origin")
    if origin is None:
        raise Forbidden("a request by cookie needs an Origin header; scripts send a bearer token")
    scheme, host, port = _split_origin(origin)
    if (scheme, host, port) != (connection.url.scheme, *_authority(connection)):
        raise Forbidden("a request by cookie must come from this server's own pages")


def _authority(connection: HTTPConnection) -> tuple[str, int]:
    scheme = str(connection.scope.get("scheme", "http"))
    _scheme, host, port = _split_origin(f"{scheme}://{connection.headers.get('host', '')}")
    return host, port


def _split_origin(origin: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return "", "", 0
    return parts.scheme, parts.hostname or "", port or (443 if parts.scheme == "https" else 80)
