"""The API in this process: requests without a socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from hpsearch.api.app import create_app
from hpsearch.settings import Settings
from hpsearch.storage.database import Database

ADMIN = "the-admin-token"
NO_REDIS = "redis://127.0.0.1:1"


class Http:
    """Sends requests to an app, with the admin's token unless told otherwise.

    Attributes:
        app: The app.
        database: Its database.
        cookies: What browsers would send back.
    """

    def __init__(self, app: FastAPI, database: Database) -> None:
        self.app = app
        self.database = database
        self.cookies = httpx.Cookies()

    def send(
        self, method: str, url: str, *, token: str | None = ADMIN, **request: Any
    ) -> httpx.Response:
        """Return the answer to one request."""
        headers = httpx.Headers(request.pop("headers", None))
        if token is not None:
            headers.setdefault("authorization", f"Bearer {token}")
        return anyio.run(lambda: self._send(method, url, headers=headers, **request))

    async def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost:8000", cookies=self.cookies
        ) as client:
            return await client.request(method, url, **request)

    def get(self, url: str, **request: Any) -> httpx.Response:
        """Send a GET."""
        return self.send("GET", url, **request)

    def post(self, url: str, **request: Any) -> httpx.Response:
        """Send a POST."""
        return self.send("POST", url, **request)


@contextmanager
def served(database_url: str, data_dir: Path, **settings: Any) -> Iterator[Http]:
    """Serve a database in this process; the janitor does not run."""
    values: dict[str, Any] = {
        "data_dir": data_dir,
        "database_url": SecretStr(database_url),
        "redis_url": SecretStr(NO_REDIS),
        "token": SecretStr(ADMIN),
        **settings,
    }
    app = create_app(Settings(_env_file=None, **values))
    services = app.state.services
    try:
        yield Http(app, services.database)
    finally:
        services.close()
