"""``python -m hpsearch.api``: serve the API until told to stop."""

import argparse
import contextlib
import socket
import sys
from collections.abc import Sequence

from hpsearch.api.app import create_app
from hpsearch.api.server import make_server
from hpsearch.errors import InvalidSettings
from hpsearch.logs import configure_logs
from hpsearch.settings import read_settings

DEFAULT_PORT = 8000


def main(arguments: Sequence[str]) -> int:
    """Serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hpsearch.api")
    parser.add_argument("--fd", type=int, help="inherited socket that listens already")
    descriptor = parser.parse_args(arguments).fd
    try:
        settings = read_settings()
        configure_logs(settings.log_level, settings.log_format)
        app = create_app(settings)
    except (InvalidSettings, ValueError) as error:
        sys.stderr.write(f"hpsearch: these settings cannot work: {error}\n")
        return 2
    port = DEFAULT_PORT if settings.port is None else settings.port
    server = make_server(app, settings.host, port)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after a clean end
        server.run(None if descriptor is None else [socket.socket(fileno=descriptor)])
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
