"""A connection to Redis that fails soon rather than late."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

CONNECT_TIMEOUT_S = 2.0  # a request of ours must not hang because Redis does
ANSWER_TIMEOUT_S = 5.0  # longer than the longest blocking call (2 s)


def connect(url: str) -> Redis:
    """Return a client; nothing is sent yet.

    A broken connection is opened anew once, so that a restarted server costs no error.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with the password in it if need be.

    Raises:
        ValueError: The URL is none of those; the message does not repeat it.
    """
    try:
        client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
    except (ValueError, TypeError):
        raise ValueError(
            "HPSEARCH_REDIS_URL is no Redis URL; expected redis://[:password@]host:port/0, "
            "rediss://… or unix:///path/to/socket"
        ) from None
    return client


def reason(error: RedisError) -> str:
    """Return one line about an error, without addresses that could hold a password."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.rstrip(".")
