"""Where the API of this machine listens, and what others call it."""

import itertools
import socket

from hpsearch.errors import ServiceDown

FIRST_PORT = 8000
_TRIES = 100


def choose_port(host: str, wanted: int | None) -> int:
    """Return a port that is free now: the wanted one, else 8000 or the next free one.

    Args:
        host: Address to listen on.
        wanted: What the settings say; 0 for any.

    Raises:
        ServiceDown: The wanted port is taken, or the host is not ours.
    """
    if wanted is not None:
        port = _bind(host, wanted)
        if port is None:
            raise ServiceDown(
                "api", f"port {wanted} is taken: stop what uses it or set HPSEARCH_PORT to another"
            )
        return port
    ports = itertools.chain(range(FIRST_PORT, FIRST_PORT + _TRIES), [0])
    return next(port for number in ports if (port := _bind(host, number)) is not None)


def url_of(host: str, port: int) -> str:
    """Return the URL clients of this machine use."""
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared
    name = everywhere.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _bind(host: str, port: int) -> int | None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ServiceDown("api", f"HPSEARCH_HOST is {host!r}: {error.strerror}") from None
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            if isinstance(error, PermissionError) or "address" in str(error.strerror).lower():
                return None
            raise
        return int(probe.getsockname()[1])
