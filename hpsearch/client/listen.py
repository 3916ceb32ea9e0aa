"""A stream of server-sent events as an iterator that outlives its connections."""

import time
from collections.abc import Callable, Iterable, Iterator

import httpx

from hpsearch.client.decode import parse_json
from hpsearch.client.http import Connection
from hpsearch.errors import Unavailable
from hpsearch.spec.events import Event, EventKind
from hpsearch.spec.states import StudyState

OUTAGE_S = 60.0  # a restart of the server takes seconds; longer than this is worth telling
SILENCE_S = 45.0  # a live server says something every 15 s
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 5.0


def listen(
    connection: Connection, path: str, after: int | None, sleep: Callable[[float], None]
) -> Iterator[Event]:
    """Yield a study's events until it has ended; connections that break are opened again.

    Args:
        connection: The server.
        path: Of the stream.
        after: The id to go on from; None begins with what happens from now on.
        sleep: Waits between two tries.

    Raises:
        StudyNotFound: There is no such study.
        Unavailable: The server was gone for a minute.
    """
    is_over = False
    has_heard, heard_at, wait_s = False, time.monotonic(), FIRST_WAIT_S
    while True:
        query = {} if after is None else {"after": after}
        try:
            with connection.stream(path, params=query, silence_s=SILENCE_S) as lines:
                for event in parse_events(lines):
                    after = max(after or 0, event.id) or None
                    has_heard, heard_at, wait_s = True, time.monotonic(), FIRST_WAIT_S
                    yield event
                    if event.kind is EventKind.STUDY:
                        is_over = StudyState(event.data["state"]).has_ended
                if is_over:
                    return
        except (httpx.TransportError, Unavailable) as error:
            if not has_heard or time.monotonic() - heard_at > OUTAGE_S:
                if isinstance(error, Unavailable):
                    raise
                raise connection.unreachable(error) from error
        sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a stream's lines; kinds this client does not know are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            if name:  # else a comment
                value = value.removeprefix(" ")
                fields[name] = f"{fields[name]}\n{value}" if name == "data" in fields else value
            continue
        if "data" in fields and fields.get("event") in set(EventKind):
            data = parse_json(fields["data"])
            study = str(data.pop("study", ""))
            number = fields.get("id", "")
            place = int(number) if number.isdecimal() else 0
            yield Event(EventKind(fields["event"]), study, place, data)
        fields = {}
