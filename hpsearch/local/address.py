"""Where the API of this machine listens, and what others call it."""

import errno
import socket

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
