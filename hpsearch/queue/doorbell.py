"""Ring workers: there is work. Losing a ring loses nothing but a second or two."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from hpsearch.errors import ServiceDown
from hpsearch.queue.connection import connect, reason
from hpsearch.queue.turns import TurnQueue, turn_on


class Doorbell:
    """The bell at the workers' door. Safe to share between threads.

    Nothing is sent before the first call, and the object outlives restarts of Redis.

    Args:
        redis_url: Where the queue is.

    Raises:
        ValueError: The URL is no Redis URL.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)
        self._queue = TurnQueue(connection=self._redis)

    def ring(self, n: int, study: str) -> None:
        """Ask for ``n`` turns, with a study as a hint.

        Args:
            n: How many workers are wanted; nothing is sent for 0 or less.
            study: The study's uuid.

        Raises:
            ServiceDown: Redis does not answer. Workers look by themselves, so go on.
        """
        if n <= 0:
            return
        with _as_service_down():
            self._queue.enqueue_many([turn_on(study) for _ in range(n)])

    def waiting(self) -> int:
        """Return how many rings nobody has answered yet.

        Raises:
            ServiceDown: Redis does not answer.
        """
        with _as_service_down():
            return int(self._queue.count)

    def ping(self) -> None:
        """Return if Redis answers.

        Raises:
            ServiceDown: It does not.
        """
        with _as_service_down():
            self._redis.ping()

    def close(self) -> None:
        """Close every connection; a later call opens one again."""
        self._redis.close()


@contextmanager
def _as_service_down() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise ServiceDown("redis", reason(error)) from error
