"""Supervisor, listener and trainer as real processes: turns, deaths, stops."""

import os
import signal
import time
from uuid import uuid4

import pytest
from redis import Redis

from hpsearch.queue.doorbell import Doorbell
from tests.integration.worker.conftest import StartWorkers, Workers
from tests.services.process_tree import LinuxProcess
from tests.services.waiting import eventually

HEAVY = ("torch", "sqlalchemy", "optuna", "libtorch", "psycopg")


def test_a_ring_becomes_a_turn_with_its_study_as_hint(workers: Workers, redis_url: str) -> None:
    bell, study = Doorbell(redis_url), str(uuid4())
    bell.ring(2, study)
    workers.wait_for("turn", 2, hint=study)
    eventually(lambda: bell.waiting() == 0, "both rings are answered")
    bell.close()


def test_an_answered_ring_leaves_nothing_in_redis(workers: Workers, redis_url: str) -> None:
    bell, study = Doorbell(redis_url), str(uuid4())
    bell.ring(3, study)
    workers.wait_for("turn", 3, hint=study)
    with Redis.from_url(redis_url) as redis:
        eventually(lambda: not redis.keys("rq:job:*"), "no job is left")
        eventually(lambda: not redis.keys("rq:execution*"), "no execution is left")
        assert redis.zcard("rq:wip:turns") == 0
        assert redis.llen("rq:queue:turns:intermediate") == 0
    bell.close()


def test_an_idle_worker_looks_by_itself(workers: Workers) -> None:
    n = len(workers.journal("turn", hint=None))
    workers.wait_for("turn", n + 1, hint=None)


def test_the_same_warm_trainer_takes_every_turn(workers: Workers, redis_url: str) -> None:
    bell = Doorbell(redis_url)
    bell.ring(5, str(uuid4()))
    workers.wait_for("turn", 6)
    assert {turn["pid"] for turn in workers.journal("turn")} == {workers.trainer.pid}
    bell.close()


def test_supervisor_and_listener_are_light(workers: Workers) -> None:
    for pid in (workers.process.pid, workers.listener.pid):
        process = LinuxProcess.of(pid)
        assert process is not None
        assert process.resident_bytes <= 100e6
        mapped = process.mapped_files
        assert not [path for path in mapped if any(f"/{name}" in path for name in HEAVY)]


def test_a_killed_trainer_is_replaced_at_once_and_its_work_given_back(workers: Workers) -> None:
    turn = workers.begin("train")
    listener = workers.listener.pid
    workers.mode("idle")
    killed_at = time.monotonic()
    workers.trainer.send(signal.SIGKILL)
    lost = workers.wait_for("worker_lost")[0]
    took_s = time.monotonic() - killed_at
    assert lost["lost"] == lost["worker"] == turn["worker"]
    assert lost["pid"] != turn["pid"]
    assert workers.listener.pid == listener
    assert took_s < 5
    workers.wait_for("turn", pid=lost["pid"])


def test_a_trainer_killed_while_idle_is_replaced_at_once(workers: Workers) -> None:
    before = workers.trainer.pid
    workers.trainer.send(signal.SIGKILL)
    eventually(
        lambda: [p for p in workers.named("hpsearch.worker.trainer") if p.pid != before],
        "a new trainer",
    )
    workers.wait_for("worker_lost")


def test_a_killed_listener_takes_its_trainer_along_and_is_replaced(workers: Workers) -> None:
    turn = workers.begin("train")
    listener, trainer = workers.listener, workers.trainer
    workers.mode("idle")
    listener.send(signal.SIGKILL)
    eventually(lambda: trainer.is_gone, "the trainer is dead")
    lost = workers.wait_for("worker_lost")[0]
    assert lost["lost"] == turn["worker"]
    assert lost["worker"] != turn["worker"]
    assert not workers.journal("handed_back")


def test_a_killed_supervisor_takes_everything_along(workers: Workers) -> None:
    workers.begin("train")
    listener, trainer = workers.listener, workers.trainer
    workers.process.send_signal(signal.SIGKILL)
    eventually(lambda: listener.is_gone and trainer.is_gone, "both are gone", 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_hands_the_lanes_back_and_leaves_nothing(
    workers: Workers, number: signal.Signals
) -> None:
    workers.begin("train")
    asked_at = time.monotonic()
    workers.process.send_signal(number)
    assert workers.process.wait(10) == 0
    assert time.monotonic() - asked_at < 8
    assert workers.journal("handed_back")
    assert workers.journal("closed")
    assert workers.is_all_gone()


def test_an_idle_worker_stops_at_once(workers: Workers, redis_url: str) -> None:
    asked_at = time.monotonic()
    workers.process.terminate()
    assert workers.process.wait(10) == 0
    assert time.monotonic() - asked_at < 2
    assert workers.is_all_gone()
    with Redis.from_url(redis_url) as redis:
        assert redis.smembers("rq:workers:turns") == set()


def test_a_stop_sent_to_the_listener_alone_hands_back_too(workers: Workers) -> None:
    workers.begin("train")
    before = workers.listener
    before.send(signal.SIGTERM)
    workers.wait_for("handed_back")
    eventually(lambda: before.is_gone, "the listener has left")


def test_a_stop_sent_to_the_trainer_alone_hands_back_and_it_is_replaced(workers: Workers) -> None:
    turn = workers.begin("train")
    workers.mode("idle")
    workers.trainer.send(signal.SIGTERM)
    workers.wait_for("handed_back")
    eventually(
        lambda: [born for born in workers.journal("born") if born["pid"] != turn["pid"]],
        "a new trainer",
    )


def test_a_trainer_that_hands_nothing_back_is_killed_in_time(workers: Workers) -> None:
    workers.begin("stuck")
    asked_at = time.monotonic()
    workers.process.terminate()
    assert workers.process.wait(12) == 0
    assert time.monotonic() - asked_at < 9
    assert workers.is_all_gone()


def test_a_trainer_without_a_sign_of_life_is_killed(workers: Workers) -> None:
    turn = workers.begin("hang")
    workers.mode("idle")
    lost = workers.wait_for("worker_lost")[0]
    assert lost["lost"] == turn["worker"]
    assert lost["pid"] != turn["pid"]


def test_a_trainer_whose_turn_crashes_is_replaced(workers: Workers) -> None:
    turn = workers.begin("crash")
    workers.mode("idle")
    assert workers.wait_for("worker_lost")[0]["pid"] != turn["pid"]


def test_a_database_that_is_down_costs_no_trainer(workers: Workers) -> None:
    turn = workers.begin("database down")
    workers.mode("idle")
    n = len(workers.journal("turn", mode="idle"))
    after = workers.wait_for("turn", n + 1, mode="idle")[-1]
    assert after["pid"] == turn["pid"]
    assert not workers.journal("worker_lost")


def test_cpu_trainers_are_pinned_to_cores_of_their_own(start_workers: StartWorkers) -> None:
    workers = start_workers(devices="cpu:2")
    born = workers.wait_for("born", 2)
    usable = sorted(os.sched_getaffinity(0))
    expected = sorted([[usable[0]], [usable[1 % len(usable)]]])
    assert sorted(entry["cores"] for entry in born) == expected
    assert {(entry["device"], entry["omp"], entry["gpus"]) for entry in born} == {("cpu", "1", "")}
    assert len({entry["worker"] for entry in born}) == 2
    workers.wait_for("turn", 2)
    workers.named("hpsearch.worker.listener")
    workers.named("hpsearch.worker.trainer")


def test_wrong_devices_are_refused_by_name(start_workers: StartWorkers) -> None:
    workers = start_workers(devices="cuda:97")
    assert workers.process.wait(30) == 2
    assert "HPSEARCH_DEVICES is 'cuda:97'" in (workers.folder / "worker.log").read_text()
