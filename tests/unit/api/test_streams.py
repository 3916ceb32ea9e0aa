"""Streams of events, whoever reads them."""

from collections.abc import Sequence

import anyio
import pytest

from hpsearch.api import streams
from hpsearch.api.streams import Streams
from hpsearch.errors import ServiceDown
from hpsearch.spec.events import Event, EventKind
from hpsearch.studies.events import Batch

EPOCH = Event(EventKind.EPOCH, "study", 7, {"number": 0, "metrics": {"val_loss": 0.5}})
QUIET = Batch((), has_more=False, is_over=False, is_lively=True)
LAST = Batch((EPOCH,), has_more=False, is_over=True, is_lively=False)


class Scripted:
    """A reader that finds what it was told."""

    def __init__(self, script: Sequence[Batch | Exception]) -> None:
        self._script = list(script)

    def read(self) -> Batch:
        found = self._script.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def told(script: Sequence[Batch | Exception]) -> list[str]:
    async def listen() -> list[str]:
        return [text async for text in await Streams().open(Scripted(script))]

    return anyio.run(listen)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_S", 0.0)
    monkeypatch.setattr(streams, "IDLE_LOOK_S", 0.0)


def test_an_event_has_a_kind_an_id_and_its_study() -> None:
    assert told([LAST])[1] == (
        'event: epoch\nid: 7\ndata: {"study":"study","number":0,"metrics":{"val_loss":0.5}}\n\n'
    )


def test_a_silent_stream_sends_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "COMMENT_S", 0.0)
    assert told([QUIET, QUIET, LAST])[1:3] == [": still here\n\n"] * 2


def test_a_stream_survives_a_database_that_is_away_for_a_moment() -> None:
    assert "event: epoch" in told([QUIET, ServiceDown("database", "gone"), LAST])[-1]


def test_a_stream_that_cannot_begin_says_why() -> None:
    with pytest.raises(ServiceDown):
        told([ServiceDown("database", "gone")])


def test_closing_ends_a_stream_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_S", 60.0)

    async def listen() -> None:
        all_streams = Streams()
        stream = await all_streams.open(Scripted([QUIET]))
        await anext(stream)
        async with anyio.create_task_group() as group:
            group.start_soon(_drain, stream)
            await anyio.sleep(0)
            all_streams.close()

    with_deadline = anyio.run(_within, listen, 10.0)
    assert with_deadline


async def _drain(stream: object) -> None:
    async for _ in stream:  # type: ignore[attr-defined]  # an async iterator
        raise AssertionError("nothing was to be told")


async def _within(work: object, seconds: float) -> bool:
    with anyio.move_on_after(seconds) as scope:
        await work()  # type: ignore[operator]  # an async function
    return not scope.cancelled_caught
