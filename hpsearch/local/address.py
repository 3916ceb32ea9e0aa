"""Where the API of this machine listens, and what others call it."""

import errno
import json
import socket
from pathlib import Path

from hpsearch.errors import ServiceDown

FIRST_PORT = 8000
_TRIES = 100
_BACKLOG = 128  # connections that wait while the API restarts


def listen(host: str, wanted: int | None) -> socket.socket:
    """Return a socket that listens on the wanted port, else on 8000 or the next free one.

    Holding it, nobody else can take the port, and a client that comes while the API restarts
    waits instead of being refused.

    Args:
        host: Address to listen on.
        wanted: What the settings say; 0 for any.

    Raises:
        ServiceDown: The wanted port is taken, or the host is not ours.
    """
    ports = range(FIRST_PORT, FIRST_PORT + _TRIES) if wanted is None else [wanted]
    for port in ports:
        if (listening := _bind(host, port)) is not None:
            return listening
    taken = f"ports {ports[0]} to {ports[-1]} are" if wanted is None else f"port {wanted} is"
    raise ServiceDown("api", f"{taken} taken: stop what uses it or set HPSEARCH_PORT to another")


def url_of(host: str, port: int) -> str:
    """Return the URL clients of this machine use."""
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared
    name = everywhere.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def announce(data_dir: Path, url: str, pid: int) -> Path:
    """Write where the server of a data folder listens, for clients to find; return the file.

    It counts for as long as the process lives.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    part, file = data_dir / "server.json.part", data_dir / "server.json"
    part.write_text(json.dumps({"url": url, "pid": pid}) + "\n")
    part.replace(file)
    return file


def _bind(host: str, port: int) -> socket.socket | None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ServiceDown("api", f"HPSEARCH_HOST is {host!r}: {error.strerror}") from None
    listening = socket.socket(family, kind)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            return None
        raise ServiceDown("api", f"cannot listen on {host!r}: {error.strerror}") from None
    return listening
