"""Stands in for the API: answers /readyz, and does what a file in the data folder says."""

import http.server
import socket
import sys

from hpsearch.settings import Settings


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_request(self, *_: object) -> None:
        pass


def main() -> int:
    settings = Settings()
    (settings.data_dir / "token").write_text("made-by-the-api\n")
    if (settings.data_dir / "api-is-broken").exists():
        sys.stderr.write("no module named luck\n")
        return 1
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
