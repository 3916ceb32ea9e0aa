"""``/v1/events``: what happens, as it happens, as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from pydantic import Field
from starlette.responses import StreamingResponse

from hpsearch.api.params import Parameters, StudyName
from hpsearch.api.services import ServicesOf
from hpsearch.errors import FieldError, RequestInvalid
from hpsearch.studies.events import AllEventsReader, EventReader

router = APIRouter(tags=["events"])

MAX_ID = 2**63 - 1
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "events `study`, `trial_started`, `epoch`, `trial_rewound`, "
        "`trial_finished`, each with its study and an id",
        "content": {
            "text/event-stream": {
                "example": 'event: epoch\nid: 41\ndata: {"study":"mnist-random","number":3,'
                '"epoch":2,"metrics":{"val_loss":0.21,"val_accuracy":0.94}}\n\n'
            }
        },
    }
}


class Place(Parameters):
    """Where to go on."""

    after: int | None = Field(
        None, ge=0, le=MAX_ID, description="id of the last event that was read; 0: from the start"
    )


async def last_event_id(
    query: Annotated[Place, Query()],
    header: Annotated[
        str | None,
        Header(alias="Last-Event-ID", description="as `after`; browsers send it by themselves"),
    ] = None,
) -> int | None:
    """Return the id to go on from: a browser that comes back has the latest in the header.

    Raises:
        RequestInvalid: The header is no id of a stream.
    """
    if not header:
        return query.after
    if not (header.isascii() and header.isdigit() and len(header) < 20) or int(header) > MAX_ID:
        msg = "expected the id of an event"
        raise RequestInvalid([FieldError(("Last-Event-ID",), msg, header)])
    return int(header)


LastEventId = Annotated[int | None, Depends(last_event_id)]


@router.get("/v1/events", response_class=StreamingResponse, responses=_STREAM)
async def stream_all_events(services: ServicesOf, after: LastEventId) -> StreamingResponse:
    """Stream what happens in all studies; ids are microseconds and grow."""
    reader = AllEventsReader(services.database, after, services.streams.views)
    return _stream(await services.streams.open(reader))


@router.get("/v1/studies/{name}/events", response_class=StreamingResponse, responses=_STREAM)
async def stream_events(
    services: ServicesOf, name: StudyName, after: LastEventId
) -> StreamingResponse:
    """Stream what happens in a study, beginning with the study as it is; ends when it has.

    Ids are the study's revision. Whoever comes back with the last one read gets every event after
    it at least once.
    """
    reader = EventReader(services.database, name, after, services.streams.views)
    return _stream(await services.streams.open(reader))


def _stream(text: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(
        text,
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},  # proxies pass each event on at once
    )
