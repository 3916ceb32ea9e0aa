"""A real supervisor with real listeners and trainers around a fake runner."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hpsearch.queue.doorbell import Doorbell
from tests.services.process_tree import LinuxProcess, descendants
from tests.services.waiting import eventually

REPOSITORY = Path(__file__).parents[3]


class Workers:
    """The processes of one ``python -m hpsearch.worker``."""

    def __init__(self, folder: Path, redis_url: str, devices: str) -> None:
        self.folder = folder
        self.redis_url = redis_url
        self.mode("idle")
        self.log = (folder / "worker.log").open("ab")
        environment = dict(os.environ)  # noqa: TID251
        environment |= {
            "HPSEARCH_DATA_DIR": str(folder),
            "HPSEARCH_REDIS_URL": redis_url,
            "HPSEARCH_DEVICES": devices,
            "PYTHONPATH": str(REPOSITORY),
        }
        runner = "tests.integration.worker.fake_runner:make"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hpsearch.worker", "--runner", runner],
            env=environment,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.seen: set[LinuxProcess] = set()

    def mode(self, name: str) -> None:
        part = self.folder / "mode.part"
        part.write_text(name)
        part.rename(self.folder / "mode")

    def begin(self, mode: str) -> dict[str, Any]:
        """Ring for a turn in a mode and return it once it runs."""
        self.mode(mode)
        bell = Doorbell(self.redis_url)
        bell.ring(1, str(uuid4()))
        bell.close()
        return self.wait_for("turn", mode=mode)[0]

    def journal(self, event: str, **facts: object) -> list[dict[str, Any]]:
        path = self.folder / "journal"
        lines = path.read_text().splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines]
        wanted = {"event": event, **facts}
        return [entry for entry in entries if wanted.items() <= entry.items()]

    def wait_for(self, event: str, n: int = 1, **facts: object) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            entries = self.journal(event, **facts)
            return entries if len(entries) >= n else []

        try:
            return eventually(found, f"{n} x {event} {facts}")
        except AssertionError:
            print((self.folder / "worker.log").read_text())
            raise

    def named(self, module: str) -> list[LinuxProcess]:
        """The living processes below the supervisor that run one of our modules."""
        below = descendants(self.process.pid)
        found = [process for process in below if module in process.command]
        self.seen.update(found)
        return found

    @property
    def listener(self) -> LinuxProcess:
        return self.named("hpsearch.worker.listener")[0]

    @property
    def trainer(self) -> LinuxProcess:
        return self.named("hpsearch.worker.trainer")[0]

    def wait_until_ready(self, n: int = 1) -> None:
        self.wait_for("turn", n)
        assert self.listener
        assert self.trainer

    def is_all_gone(self) -> bool:
        self.process.poll()
        return all(process.is_gone for process in self.seen)

    def close(self) -> None:
        if self.process.poll() is None:
            self.named("hpsearch.worker.listener")
            self.named("hpsearch.worker.trainer")
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        eventually(self.is_all_gone, "every process is gone")
        self.log.close()


StartWorkers = Callable[..., Workers]


@pytest.fixture
def start_workers(tmp_path: Path, redis_url: str) -> Iterator[StartWorkers]:
    started: list[Workers] = []

    def start(redis: str = redis_url, devices: str = "cpu:1") -> Workers:
        started.append(Workers(tmp_path, redis, devices))
        return started[-1]

    yield start
    for workers in started:
        workers.close()


@pytest.fixture
def workers(start_workers: StartWorkers) -> Workers:
    running = start_workers()
    running.wait_until_ready()
    return running


@pytest.fixture(scope="module")
def hostile_workers(
    redis_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    """One worker that all tests of a module throw things at."""
    redis_server.flush()
    running = Workers(tmp_path_factory.mktemp("hostile"), redis_server.url, "cpu:1")
    running.wait_until_ready()
    yield running
    running.close()
    redis_server.flush()
