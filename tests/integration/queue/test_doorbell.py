import json
import zlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from hpsearch.errors import ServiceDown
from hpsearch.queue.doorbell import Doorbell
from hpsearch.queue.sweep import sweep
from hpsearch.queue.turns import TURN_FUNCTION, ForeignJobError, TurnJob, TurnQueue, study_of


@pytest.fixture
def bell(redis_url: str) -> Iterator[Doorbell]:
    doorbell = Doorbell(redis_url)
    yield doorbell
    doorbell.close()


@pytest.fixture
def redis(redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(redis_url) as client:
        yield client


def test_every_ring_is_one_waiting_job(bell: Doorbell) -> None:
    bell.ring(3, str(uuid4()))
    bell.ring(0, str(uuid4()))
    bell.ring(-1, str(uuid4()))
    assert bell.waiting() == 3


def test_a_ring_is_json_names_its_study_and_leaves_no_trace(
    bell: Doorbell, redis: "Redis"
) -> None:
    study = str(uuid4())
    bell.ring(1, study)
    (job_id,) = TurnQueue(connection=redis).get_job_ids()
    stored: Any = redis.hgetall(f"rq:job:{job_id}")
    assert json.loads(zlib.decompress(stored[b"data"])) == [TURN_FUNCTION, None, [study], {}]
    assert (stored[b"result_ttl"], stored[b"failure_ttl"], stored[b"timeout"]) == (
        b"0",
        b"0",
        b"-1",
    )
    assert study_of(TurnJob.fetch(job_id, connection=redis)) == study


def test_rings_have_different_ids(bell: Doorbell, redis: "Redis") -> None:
    study = str(uuid4())
    bell.ring(2, study)
    bell.ring(2, study)
    assert len(set(TurnQueue(connection=redis).get_job_ids())) == 4


def test_a_ring_cannot_be_performed(bell: Doorbell, redis: "Redis") -> None:
    bell.ring(1, str(uuid4()))
    (job,) = TurnQueue(connection=redis).get_jobs()
    with pytest.raises(ForeignJobError):
        job.perform()


def test_an_absent_redis_is_a_service_down_without_the_password() -> None:
    bell = Doorbell("redis://:s3cret@127.0.0.1:1/0")
    for call in (bell.ping, bell.waiting, lambda: bell.ring(1, str(uuid4()))):
        with pytest.raises(ServiceDown, match="redis is down") as caught:
            call()
        assert "s3cret" not in str(caught.value)


def test_a_wrong_url_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="HPSEARCH_REDIS_URL") as caught:
        Doorbell("http://:s3cret@host")
    assert "s3cret" not in str(caught.value)


def test_a_bell_survives_connections_cut_by_the_server(bell: Doorbell, redis: "Redis") -> None:
    bell.ring(1, str(uuid4()))
    redis.client_kill_filter(_type="normal", skipme=True)
    bell.ring(1, str(uuid4()))
    assert bell.waiting() == 2


def test_a_sweep_removes_a_ring_taken_and_never_begun(bell: Doorbell, redis: "Redis") -> None:
    queue = TurnQueue(connection=redis)
    bell.ring(1, str(uuid4()))
    redis.lmove(queue.key, queue.intermediate_queue_key)
    suspects = sweep(redis, frozenset())
    assert redis.llen(queue.intermediate_queue_key) == 1
    assert sweep(redis, suspects) == frozenset()
    assert redis.llen(queue.intermediate_queue_key) == 0
    assert not redis.keys("rq:job:*")


def test_a_sweep_removes_a_ring_whose_worker_stopped_beating(
    bell: Doorbell, redis: "Redis"
) -> None:
    queue = TurnQueue(connection=redis)
    bell.ring(2, str(uuid4()))
    dead, living = queue.get_job_ids()
    redis.zadd(queue.started_job_registry.key, {f"{dead}:e1": 1, f"{living}:e2": 10**11})
    sweep(redis, frozenset())
    assert redis.keys("rq:job:*") == [f"rq:job:{living}".encode()]
    assert redis.zcard(queue.started_job_registry.key) == 1
