"""What a job is: the wish for a turn, as JSON, with one allowed function."""

from typing import Any, NoReturn
from uuid import UUID

from redis import Redis
from rq import Queue
from rq.exceptions import DeserializationError
from rq.job import Job
from rq.queue import EnqueueData

from hpsearch.errors import HpsearchError

QUEUE = "turns"  # one queue: listening on several, RQ would lose jobs
TURN_FUNCTION = "hpsearch.queue.turns.take_turn"
LARGEST_JOB_BYTES = 2048  # ours have about 120; also bounds what decompressing can cost
_TIMES = ("created_at", "enqueued_at", "started_at", "last_heartbeat")
_LIVES = ("timeout", "result_ttl", "failure_ttl")
_KEPT = frozenset(["data", "origin", "status", "description", "worker_name", *_TIMES, *_LIVES])


class ForeignJobError(HpsearchError):
    """Something in the queue that is no turn; it is thrown away, never run."""


def take_turn(study: str) -> NoReturn:
    """Refuse: a turn is taken by the warm trainer of a worker, never called from a job.

    Raises:
        ForeignJobError: Always.
    """
    raise ForeignJobError(f"a turn on {study} is not taken this way")


class TurnJob(Job):
    """A ring of the doorbell. Whatever Redis holds, reading it runs nothing.

    JSON whatever the caller says; callbacks, webhooks, results, metadata and dependencies are
    not even read; ``perform`` refuses.
    """

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - RQ's name
        connection: Redis | None = None,
        serializer: object = None,  # noqa: ARG002 - always JSON
    ) -> None:
        super().__init__(id, connection, serializer="json")

    def restore(self, raw_data: Any) -> None:
        """Read the fields a ring needs, and no other."""
        named = {
            key.decode() if isinstance(key, bytes) else key: raw_data[key] for key in raw_data
        }
        if not 0 < len(named.get("data", b"")) <= LARGEST_JOB_BYTES:
            raise ForeignJobError(f"job {self.id} is empty or over {LARGEST_JOB_BYTES} bytes")
        super().restore({key: named[key] for key in named if key in _KEPT})

    def perform(self) -> NoReturn:
        """Refuse to run anything."""
        take_turn("a study")


def study_of(job: Job) -> str:
    """Return the study a ring names, as a hint.

    Raises:
        ForeignJobError: The job asks for anything but a turn.
    """
    try:
        function, instance, arguments = job.func_name, job.instance, job.args
        keywords = job.kwargs
    except DeserializationError:
        raise ForeignJobError(f"job {job.id} is not JSON") from None
    if function != TURN_FUNCTION or instance is not None or keywords:
        raise ForeignJobError(f"job {job.id} asks for {str(function)[:100]!r}, not for a turn")
    if not isinstance(arguments, list | tuple) or len(arguments) != 1:
        raise ForeignJobError(f"job {job.id} does not name one study")
    try:
        UUID(arguments[0])
    except (ValueError, TypeError, AttributeError):
        raise ForeignJobError(f"job {job.id} does not name a study") from None
    return str(arguments[0])


class TurnQueue(Queue):
    """The one queue: JSON, and jobs are turns, whoever opens it."""

    def __init__(self, name: str = QUEUE, connection: Redis | None = None, **_: object) -> None:
        super().__init__(name, connection, serializer="json", job_class=TurnJob)


def turn_on(study: str) -> EnqueueData:
    """Return the data of one ring: a random id, no trace left behind, no time limit."""
    return Queue.prepare_data(
        TURN_FUNCTION,
        args=(study,),
        timeout=-1,
        result_ttl=0,
        failure_ttl=0,
        description=f"a turn, perhaps on {study}",
    )
