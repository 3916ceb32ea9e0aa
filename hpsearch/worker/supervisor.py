"""Keeps one listener per device alive, and takes all of them down in order."""

import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from signal import SIGCHLD, SIGHUP, SIGINT, SIGTERM
from types import FrameType

from hpsearch.logs import get_logger
from hpsearch.processes import (
    Backoff,
    Process,
    SignalPipe,
    describe_exit,
    kill,
    python,
    spawn,
    stop,
)
from hpsearch.worker.devices import Device

log = get_logger(__name__)

LEAVE_S = 9.0  # a listener kills a trainer that hands nothing back within 7 s
_REMEMBERED = 8  # dead names passed on; their successors give back what they held


@dataclass(slots=True)
class _Slot:
    device: Device
    worker: str = ""
    process: Process | None = None
    start_at: float = 0.0
    lost: list[str] = field(default_factory=list)
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.1))


class Supervisor:
    """One listener per device, started again when it dies.

    Args:
        devices: Where to train.
        runner: Dotted name of the factory of the trainers' runners.
        environment: The processes' environment, under what the device adds.
    """

    def __init__(
        self, devices: Sequence[Device], runner: str, environment: Mapping[str, str]
    ) -> None:
        self._slots = [_Slot(device) for device in devices]
        self._runner = runner
        self._environment = environment
        self._signals = SignalPipe()
        self._is_stopping = False

    def run(self) -> None:
        """Supervise until SIGTERM, SIGINT or SIGHUP; no child is left when this returns."""
        handlers = {
            SIGTERM: self._on_stop,
            SIGINT: self._on_stop,
            SIGHUP: self._on_stop,
            SIGCHLD: _on_child,
        }
        with self._signals.handling(handlers):
            try:
                while not self._is_stopping:
                    for slot in self._slots:
                        self._tend(slot)
                    self._signals.wait(self._next_start_s())
                stop(self._living(), LEAVE_S)
            finally:
                for process in self._living():
                    kill(process)
        log.info("workers_left", n=len(self._slots))

    def _tend(self, slot: _Slot) -> None:
        if slot.process is not None and slot.process.poll() is not None:
            wait_s = slot.backoff.failed()
            slot.start_at = time.monotonic() + wait_s
            slot.lost = [*slot.lost, slot.worker][-_REMEMBERED:]
            log.error(
                "listener_died",
                worker=slot.worker,
                ended=describe_exit(slot.process.returncode),
                restart_in_s=wait_s,
            )
            slot.process = None
        if slot.process is None and time.monotonic() >= slot.start_at and not self._is_stopping:
            self._start(slot)

    def _start(self, slot: _Slot) -> None:
        device = slot.device
        slot.worker = unique_name(device.name)
        command = python("hpsearch.worker.listener", "--worker", slot.worker)
        command += ["--device", device.kind, "--runner", self._runner]
        if device.core is not None:
            command += ["--core", str(device.core)]
        for name in slot.lost:
            command += ["--lost", name]
        slot.process = spawn(command, environment={**self._environment, **device.environment})
        slot.backoff.started()
        log.info("listener_started", worker=slot.worker, pid=slot.process.pid, core=device.core)

    def _next_start_s(self) -> float:
        if self._is_stopping:
            return 0.0
        waiting = [slot.start_at for slot in self._slots if slot.process is None]
        return min(waiting) - time.monotonic() if waiting else 60.0

    def _living(self) -> list[Process]:
        return [slot.process for slot in self._slots if slot.process is not None]

    def _on_stop(self, _signum: int, _frame: FrameType | None) -> None:
        self._is_stopping = True


def unique_name(device: str) -> str:
    """Return a worker name no other worker ever had: host, process, device, chance."""
    return f"{socket.gethostname()}-{os.getpid()}-{device}-{secrets.token_hex(2)}"


def _on_child(_signum: int, _frame: FrameType | None) -> None:
    """Only wake up: an ignored SIGCHLD would not be written to the pipe."""
