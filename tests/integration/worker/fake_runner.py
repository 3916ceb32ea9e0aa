"""A runner that trains nothing and does what a file in the data folder says."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import hpsearch.worker.pulse
from hpsearch.errors import ServiceDown
from hpsearch.settings import Settings


class FakeRunner:
    def __init__(self, folder: Path, worker: str) -> None:
        self._folder = folder
        self._worker = worker

    def note(self, event: str, **facts: object) -> None:
        line = json.dumps({"event": event, "worker": self._worker, "pid": os.getpid(), **facts})
        with (self._folder / "journal").open("a") as journal:
            journal.write(line + "\n")

    def run(
        self, hint: str | None, interrupted: Callable[[], bool], progress: Callable[[], None]
    ) -> object:
        mode = (self._folder / "mode").read_text()
        self.note("turn", hint=hint, mode=mode, threads=threading.active_count())
        if mode == "train":
            while not interrupted():
                time.sleep(0.05)
            self.note("handed_back")
            return True
        if mode == "work" and hint is not None:
            return True
        if mode == "stuck":
            while True:
                interrupted()
                time.sleep(0.05)
        if mode == "hang":
            hpsearch.worker.pulse.TRAINING_SILENCE_S = 1.5
            interrupted()
            time.sleep(60)
        if mode == "crash":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if mode == "database down":
            raise ServiceDown("database", "connection refused")
        return False

    def worker_lost(self, worker: str) -> None:
        self.note("worker_lost", lost=worker)

    def close(self) -> None:
        self.note("closed")


def make(settings: Settings, worker: str, device: str) -> FakeRunner:
    runner = FakeRunner(settings.data_dir, worker)
    affinity = sorted(os.sched_getaffinity(0))
    threads = os.environ.get("OMP_NUM_THREADS")  # noqa: TID251
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")  # noqa: TID251
    runner.note("born", device=device, cores=affinity, omp=threads, gpus=gpus)
    return runner
