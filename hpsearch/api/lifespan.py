"""What runs beside the requests: the janitor and the bell, from the first moment to the last."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from hpsearch.api.services import Services
from hpsearch.logs import get_logger

log = get_logger(__name__)

N_THREADS = 10
"""Requests handled at once, each with a connection at most: more would wait for the pool."""


def lifespan_of(services: Services) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan of an app: janitor and bell run in it, connections close after it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = N_THREADS
        services.janitor.start()
        services.webhook.start()
        log.info("api_started")
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(services.close)
            log.info("api_stopped")

    return lifespan
