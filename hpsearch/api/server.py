"""The HTTP server: uvicorn, told to keep secrets and to speak in problems."""

import json
import socket

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from hpsearch.api.envelope import SAFE_HEADERS
from hpsearch.errors import MalformedBody

GRACE_S = 5  # answers take milliseconds; a worker hands its lanes back in 8 s at most
_UNREADABLE = {
    "type": f"/problems/{MalformedBody.code}",
    "title": "Bad Request",
    "status": 400,
    "detail": "this is no valid HTTP request",
}


class ProblemProtocol(H11Protocol):
    """HTTP/1.1; what cannot even be read as HTTP gets a problem too."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Refuse the request and close the connection."""
        body = json.dumps(_UNREADABLE).encode()
        headers = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            *SAFE_HEADERS.items(),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class StreamingServer(uvicorn.Server):
    """A server that ends its streams of events before it waits for answers to end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every stream, then every connection."""
        app = self.config.app
        if isinstance(app, FastAPI):
            app.state.services.streams.close()
        await super().shutdown(sockets)


def make_server(app: FastAPI, host: str, port: int) -> uvicorn.Server:
    """Return the server of one process; ``run()`` serves until SIGTERM or SIGINT.

    Our own log has the requests, without their queries: the login link carries the token.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=ProblemProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return StreamingServer(config)
