"""Whoever can write to Redis can ring, and nothing else."""

import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from rq import Queue

from hpsearch.queue.doorbell import Doorbell
from hpsearch.queue.turns import TURN_FUNCTION
from tests.integration.worker.conftest import Workers
from tests.services.waiting import eventually


class Exploit:
    """Runs a command when unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (self.command,))


def push(redis: "Redis", fields: dict[str, Any]) -> None:
    job_id = str(uuid4())
    queued = {"created_at": "2026-01-01T00:00:00.000000Z", "origin": "turns", "status": "queued"}
    job: dict[Any, Any] = {**queued, **fields}
    redis.hset(f"rq:job:{job_id}", mapping=job)
    redis.rpush("rq:queue:turns", job_id)


def hostile_fields(kind: str, command: str) -> dict[str, Any]:
    system = zlib.compress(json.dumps(["os.system", None, [command], {}]).encode())
    turn = zlib.compress(json.dumps([TURN_FUNCTION, None, [str(uuid4())], {}]).encode())
    argument = zlib.compress(json.dumps([TURN_FUNCTION, None, [command], {}]).encode())
    exploit = pickle.dumps(Exploit(command))
    kinds: dict[str, dict[str, Any]] = {
        "function": {"data": system},
        "callbacks": {"data": system}
        | dict.fromkeys(
            ("success_callback_name", "failure_callback_name", "stopped_callback_name"),
            "os.system",
        ),
        "webhooks": {"data": turn, "webhooks": json.dumps([{"url": "http://127.0.0.1:1"}])},
        "pickled data": {"data": zlib.compress(exploit)},
        "raw pickled data": {"data": exploit},
        "pickled metadata": {"data": turn, "meta": exploit, "result": exploit},
        "another argument": {"data": argument},
        "bomb": {"data": zlib.compress(b"[" * 50_000_000)},
        "nesting": {"data": zlib.compress(b"[" * 100_000)},
        "no data": {"x": "y"},
        "broken dates": {"data": turn, "created_at": "yesterday", "timeout": "soon"},
    }
    return kinds[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "function",
        "callbacks",
        "webhooks",
        "pickled data",
        "raw pickled data",
        "pickled metadata",
        "another argument",
        "bomb",
        "nesting",
        "no data",
        "broken dates",
    ],
)
def test_a_hostile_job_runs_nothing_and_stops_nobody(
    hostile_workers: Workers, redis_server: Any, tmp_path_factory: Any, kind: str
) -> None:
    proof = Path(tmp_path_factory.mktemp("proof")) / "ran"
    workers = hostile_workers
    with Redis.from_url(redis_server.url) as redis:
        push(redis, hostile_fields(kind, f"touch {proof}"))
        bell, study = Doorbell(redis_server.url), str(uuid4())
        bell.ring(1, study)
        workers.wait_for("turn", hint=study)
        eventually(lambda: not redis.keys("rq:job:*"), "no job is left")
        assert redis.llen("rq:queue:turns:intermediate") == 0
        bell.close()
    assert not proof.exists()
    assert len(workers.journal("born")) == 1


def test_a_pickling_client_of_the_queue_is_refused(
    hostile_workers: Workers, redis_server: Any, tmp_path_factory: Any
) -> None:
    proof = Path(tmp_path_factory.mktemp("proof")) / "ran"
    with Redis.from_url(redis_server.url) as redis:
        Queue("turns", connection=redis).enqueue("os.system", f"touch {proof}")
        eventually(lambda: not redis.keys("rq:job:*"), "the job is thrown away")
    assert not proof.exists()
    assert "job_refused" in (hostile_workers.folder / "worker.log").read_text()
