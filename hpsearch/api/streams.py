"""Streams of server-sent events: a look at the database every so often, while somebody listens.

The only async code of the product: a listener costs a task, and a thread for the milliseconds of
a look.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Protocol

import anyio
import anyio.to_thread

from hpsearch.api.wire import plain
from hpsearch.errors import Unavailable
from hpsearch.logs import get_logger
from hpsearch.spec.events import Event
from hpsearch.studies.events import Batch
from hpsearch.studies.study_views import StudyViews

log = get_logger(__name__)

LOOK_S = 0.4  # between two looks while trials run
IDLE_LOOK_S = 1.0  # while nothing can happen by itself
COMMENT_S = 15.0
N_THREADS = 2  # looks at once; beside those of the requests, which must not wait for listeners
RETRY_MS = 1_000  # after which a browser comes back


class Reader(Protocol):
    """Reads events."""

    def read(self) -> Batch:
        """Return what happened since the last call."""


class Streams:
    """The streams of one process."""

    def __init__(self) -> None:
        self.views = StudyViews()
        self._limiter: anyio.CapacityLimiter | None = None
        self._closing: asyncio.Event | None = None
        self._is_closed = False

    async def open(self, reader: Reader) -> AsyncIterator[str]:
        """Return the stream of a reader; its first look has been made.

        Raises:
            StudyNotFound: There is no such study.
            ServiceDown: The database does not answer.
        """
        return self._follow(reader, await self._read(reader))

    def close(self) -> None:
        """End all streams; call from the loop's thread."""
        self._is_closed = True
        if self._closing is not None:
            self._closing.set()

    async def _follow(self, reader: Reader, batch: Batch) -> AsyncIterator[str]:
        yield f"retry: {RETRY_MS}\n\n"
        spoke_at = time.monotonic()
        while True:
            if batch.events:
                yield "".join(_format(event) for event in batch.events)
                spoke_at = time.monotonic()
            elif time.monotonic() - spoke_at >= COMMENT_S:
                yield ": still here\n\n"
                spoke_at = time.monotonic()
            if batch.is_over:
                return
            if not batch.has_more and await self._closes_within(
                LOOK_S if batch.is_lively else IDLE_LOOK_S
            ):
                return
            batch = await self._look(reader, batch)

    async def _look(self, reader: Reader, last: Batch) -> Batch:
        try:
            return await self._read(reader)
        except Unavailable as error:
            # the listener stays and hears more once the database is back
            log.warning("stream_waits", reason=str(error))
            return Batch((), has_more=False, is_over=False, is_lively=last.is_lively)

    async def _read(self, reader: Reader) -> Batch:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(N_THREADS)
        return await anyio.to_thread.run_sync(reader.read, limiter=self._limiter)

    async def _closes_within(self, seconds: float) -> bool:
        if self._closing is None:
            self._closing = asyncio.Event()
        if self._is_closed:
            return True
        with anyio.move_on_after(seconds):
            await self._closing.wait()
        return self._is_closed


def _format(event: Event) -> str:
    text = json.dumps(
        {"study": event.study, **plain(event.data)}, ensure_ascii=True, separators=(",", ":")
    )
    place = f"id: {event.id}\n" if event.id else ""
    return f"event: {event.kind.value}\n{place}data: {text}\n\n"
