"""Bodies up to a size and no further, whatever their headers say."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpsearch.errors import BodyTooLarge


class BodyLimit:
    """Refuse bodies above a size, as announced and as counted while they stream in.

    Args:
        app: What runs inside.
        max_bytes: Largest body that passes.

    Raises:
        BodyTooLarge: To whatever runs outside, before any answer has started.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app with a counting ``receive``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and self._is_too_large(announced):
            raise BodyTooLarge(self._max_bytes)
        n_bytes = 0

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._max_bytes:
                raise BodyTooLarge(self._max_bytes)
            return message

        async def guarded(message: Message) -> None:
            # a framework that turned our error into one of its own is overruled here
            if message["type"] == "http.response.start" and n_bytes > self._max_bytes:
                raise BodyTooLarge(self._max_bytes)
            await send(message)

        await self._app(scope, counted, guarded)

    def _is_too_large(self, announced: str) -> bool:
        # int() refuses more than 4,300 digits
        return len(announced) > 20 or int(announced) > self._max_bytes
