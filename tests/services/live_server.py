"""The API on a real port, in a thread of this process, so that tests move the workers by hand."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from hpsearch.api.app import create_app
from hpsearch.api.server import make_server
from hpsearch.settings import Settings
from hpsearch.storage.database import Database
from tests.services.in_process import ADMIN, NO_REDIS
from tests.services.waiting import eventually


@dataclass(frozen=True)
class LiveServer:
    """A server that answers until its block ends."""

    url: str
    database: Database

    @property
    def login_link(self) -> str:
        return f"{self.url}/login?token={ADMIN}"


@contextmanager
def live_server(database_url: str, data_dir: Path, *, port: int = 0) -> Iterator[LiveServer]:
    """Serve a database on a port of this machine; ``port`` 0 takes a free one."""
    values: dict[str, Any] = {
        "data_dir": data_dir,
        "database_url": SecretStr(database_url),
        "redis_url": SecretStr(NO_REDIS),
        "token": SecretStr(ADMIN),
    }
    app = create_app(Settings(_env_file=None, **values))
    with socket.create_server(("127.0.0.1", port)) as listening:
        taken: int = listening.getsockname()[1]
        server = make_server(app, "127.0.0.1", taken)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        eventually(lambda: server.started, "the server answers")
        try:
            yield LiveServer(f"http://127.0.0.1:{taken}", app.state.services.database)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the server did not stop"
