"""Bodies up to a size and no further, whatever their headers say."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpsearch.errors import BodyTooLarge

UPLOADS = "/v1/datasets/"


class BodyLimit:
    """Refuse bodies above a size, as announced and as counted while they stream in.

    Args:
        app: What runs inside.
        max_bytes: Largest body that passes.
        max_upload_bytes: The same for uploads of data sets, which are streamed to disk.

    Raises:
        BodyTooLarge: To whatever runs outside, before any answer has started.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_upload_bytes: int = 0) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_upload_bytes = max(max_bytes, max_upload_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app with a counting ``receive``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["method"] == "PUT" and scope["path"].startswith(UPLOADS)
        max_bytes = self._max_upload_bytes if is_upload else self._max_bytes
        announced = Headers(scope=scope).get("content-length", "")
        # int() refuses more than 4,300 digits
        if announced.isdecimal() and (len(announced) > 20 or int(announced) > max_bytes):
            raise BodyTooLarge(max_bytes)
        n_bytes = 0

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > max_bytes:
                raise BodyTooLarge(max_bytes)
            return message

        async def guarded(message: Message) -> None:
            # a framework that turned our error into one of its own is overruled here
            if message["type"] == "http.response.start" and n_bytes > max_bytes:
                raise BodyTooLarge(max_bytes)
            await send(message)

        await self._app(scope, counted, guarded)
