"""Clear away what dead workers left in Redis: rings taken but never answered to the end."""

import time

from redis import Redis

from hpsearch.queue.turns import TurnJob, TurnQueue


def sweep(redis: Redis, suspects: frozenset[str]) -> frozenset[str]:
    """Remove rings of workers that are gone; the database knows their work, so none is rung again.

    A ring that was taken off the queue and not begun is removed at the second sweep that sees
    it; a begun one when the heartbeats of its worker have been missing long enough.

    Args:
        redis: Where the queue is.
        suspects: What the last sweep returned.

    Returns:
        Rings taken and not begun, to be passed to the next sweep.
    """
    queue = TurnQueue(connection=redis)
    taken = frozenset(
        _text(job_id) for job_id in redis.lrange(queue.intermediate_queue_key, 0, -1)
    )
    started = queue.started_job_registry.key
    now = time.time()
    lost = [_text(entry) for entry in redis.zrangebyscore(started, 0, now)]
    with redis.pipeline() as pipeline:
        for job_id in taken & suspects:
            pipeline.lrem(queue.intermediate_queue_key, 1, job_id)
            pipeline.delete(TurnJob.key_for(job_id))
        for entry in lost:
            job_id = entry.partition(":")[0]
            pipeline.delete(TurnJob.key_for(job_id), f"rq:execution:{entry}")
            pipeline.delete(f"rq:executions:{job_id}")
        if lost:
            pipeline.zrem(started, *lost)
        pipeline.execute()
    return taken - suspects


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
