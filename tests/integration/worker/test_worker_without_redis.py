"""Redis may be absent, emptied or restarted: the worker is slower, nothing else."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from hpsearch.errors import ServiceDown
from hpsearch.queue.doorbell import Doorbell
from tests.integration.worker.conftest import StartWorkers, Workers
from tests.services.redis import redis_program
from tests.services.waiting import eventually


class MortalRedis:
    """A Redis that a test may kill and start again under the same address."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "r.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(redis_program()), "--port", "0", "--unixsocket", str(self.socket)]
        command += ["--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        eventually(self.answers, "Redis answers")

    def answers(self) -> bool:
        bell = Doorbell(self.url)
        try:
            bell.ping()
        except ServiceDown:
            return False
        finally:
            bell.close()
        return True

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def mortal_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MortalRedis]:
    redis = MortalRedis(tmp_path_factory.mktemp("r"))
    yield redis
    redis.kill()


def test_a_worker_without_redis_looks_for_work_and_takes_rings_once_it_is_there(
    start_workers: StartWorkers, mortal_redis: MortalRedis
) -> None:
    workers = start_workers(mortal_redis.url)
    looks = workers.wait_for("turn", 2)
    listener = workers.listener.pid
    mortal_redis.start()
    bell, study = Doorbell(mortal_redis.url), str(uuid4())
    bell.ring(1, study)
    heard = workers.wait_for("turn", hint=study)
    assert heard[0]["pid"] == looks[0]["pid"]
    assert workers.listener.pid == listener
    bell.close()


def test_a_redis_killed_during_a_turn_disturbs_neither_turn_nor_trainer(
    start_workers: StartWorkers, mortal_redis: MortalRedis
) -> None:
    mortal_redis.start()
    workers = start_workers(mortal_redis.url)
    workers.wait_until_ready()
    turn = workers.begin("train")
    listener = workers.listener.pid
    mortal_redis.kill()
    workers.mode("idle")
    mortal_redis.start()
    assert workers.trainer.pid == turn["pid"]
    asked_at = time.monotonic()
    workers.process.terminate()
    assert workers.process.wait(10) == 0
    assert time.monotonic() - asked_at < 8
    assert workers.journal("handed_back", pid=turn["pid"])
    assert {entry["pid"] for entry in workers.journal("turn")} == {turn["pid"]}
    assert listener


def test_a_redis_killed_under_an_idle_worker_costs_no_process(
    start_workers: StartWorkers, mortal_redis: MortalRedis
) -> None:
    mortal_redis.start()
    workers = start_workers(mortal_redis.url)
    workers.wait_until_ready()
    trainer, listener = workers.trainer.pid, workers.listener.pid
    mortal_redis.kill()
    n = len(workers.journal("turn"))
    workers.wait_for("turn", n + 2)
    mortal_redis.start()
    bell, study = Doorbell(mortal_redis.url), str(uuid4())
    bell.ring(1, study)
    workers.wait_for("turn", hint=study)
    assert (workers.trainer.pid, workers.listener.pid) == (trainer, listener)
    bell.close()


def test_an_emptied_redis_knows_the_worker_again_and_passes_rings(
    workers: Workers, redis_url: str
) -> None:
    with Redis.from_url(redis_url) as redis:
        eventually(lambda: redis.smembers("rq:workers:turns"), "the worker is known")
        redis.flushall()
        bell, study = Doorbell(redis_url), str(uuid4())
        bell.ring(1, study)
        workers.wait_for("turn", hint=study)
        bell.close()
        eventually(lambda: redis.smembers("rq:workers:turns"), "the worker is known again")
