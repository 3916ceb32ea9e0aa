"""A worker's hold on its one trainer child: start it, talk to it, see it die, kill it."""

import contextlib
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpsearch.logs import get_logger
from hpsearch.processes import Backoff, Process, describe_exit, kill, python, spawn
from hpsearch.worker.channel import Channel, Message
from hpsearch.worker.pulse import LOADING_SILENCE_S

log = get_logger(__name__)

LEAVE_S = 1.0  # an idle trainer only has to say goodbye to the database


class TrainerDiedError(Exception):
    """The trainer is gone; what it held comes back as soon as its successor is up."""


class Phase(StrEnum):
    """What a trainer is doing, as its worker knows it."""

    ABSENT = "absent"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class TrainerPlan:
    """What every trainer of one worker is started with.

    Attributes:
        worker: Name of the worker, unique for all time.
        device: ``cpu`` or ``cuda:0`` (the one GPU the environment shows).
        core: The CPU core to stay on; None to roam.
        runner: Dotted name of the factory of its runner.
    """

    worker: str
    device: str
    core: int | None
    runner: str


class TrainerProcess:
    """At most one living trainer, and a new one after a death.

    Args:
        plan: What to start.
        lost: Dead workers whose trials the first trainer gives back.
    """

    def __init__(self, plan: TrainerPlan, lost: Sequence[str] = ()) -> None:
        self._plan = plan
        self._lost = list(lost)
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._backoff = Backoff(first_s=0.05, calm_s=10.0)
        self._start_at = 0.0
        self._silent_until = 0.0
        self.phase = Phase.ABSENT

    @property
    def pid(self) -> int | None:
        """Process id of the living trainer."""
        return self._process.pid if self._process is not None else None

    @property
    def start_in_s(self) -> float:
        """How long to wait before a start, s; 0 when it may start now."""
        return max(0.0, self._start_at - time.monotonic())

    def start(self) -> None:
        """Start a trainer; it is of use once it has said that it is ready."""
        ours, theirs = Channel.pair()
        command = python("hpsearch.worker.trainer", "--channel", str(theirs.fileno()))
        command += ["--worker", self._plan.worker, "--device", self._plan.device]
        command += ["--runner", self._plan.runner]
        if self._plan.core is not None:
            command += ["--core", str(self._plan.core)]
        for name in self._lost:
            command += ["--lost", name]
        self._process = spawn(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self._channel = ours
        self._backoff.started()
        self._expect_word_within(LOADING_SILENCE_S)
        self.phase = Phase.STARTING

    def take_turn(self, hint: str | None) -> None:
        """Tell the idle trainer to take a turn.

        Raises:
            TrainerDiedError: It was gone already.
        """
        channel = self._open_channel()
        self._expect_word_within(LOADING_SILENCE_S)
        self.phase = Phase.BUSY
        try:
            channel.send({"turn": hint})
        except OSError:
            raise self._bury("died while idle") from None

    def next_message(self, timeout_s: float, signals: int) -> Message | None:
        """Wait for the trainer's next word; None after the time or at a signal.

        Args:
            timeout_s: Longest wait, s.
            signals: A descriptor that becomes readable at a signal.

        Raises:
            TrainerDiedError: It is gone, or was killed because it gave no sign of life in time.
        """
        channel = self._open_channel()
        silent_s = self._silent_until - time.monotonic()
        wait_s = max(0.0, min(timeout_s, silent_s if self._is_expected else timeout_s))
        readable, _, _ = select.select([channel.fileno(), signals], [], [], wait_s)
        if channel.fileno() in readable:
            return self._read(channel)
        if self._is_expected and not readable and time.monotonic() >= self._silent_until:
            log.error("trainer_hung", worker=self._plan.worker, pid=self.pid)
            raise self._bury("gave no sign of life")
        return None

    def interrupt(self) -> None:
        """Ask the trainer to hand everything back and leave; a signal handler may call this."""
        channel = self._channel
        if channel is not None:
            with contextlib.suppress(OSError):
                channel.send_from_signal_handler({"stop": True})

    def bury_if_dead(self) -> None:
        """Notice a trainer that died while idle.

        Raises:
            TrainerDiedError: It did.
        """
        if self._process is not None and self._process.poll() is not None:
            raise self._bury("died while idle")

    def kill(self, why: str) -> TrainerDiedError:
        """End the trainer at once; returns the error to raise."""
        return self._bury(why)

    def leave(self) -> None:
        """Send the trainer home, politely if it has nothing to do."""
        if self._process is None:
            return
        if self.phase is Phase.IDLE or self.phase is Phase.BUSY:
            self.interrupt()
            with contextlib.suppress(Exception):
                self._process.wait(LEAVE_S)
        kill(self._process)
        self._forget()

    @property
    def _is_expected(self) -> bool:
        return self.phase in {Phase.STARTING, Phase.BUSY}

    def _expect_word_within(self, seconds: float) -> None:
        self._silent_until = time.monotonic() + seconds

    def _open_channel(self) -> Channel:
        if self._channel is None:
            raise TrainerDiedError("there is no trainer")
        return self._channel

    def _read(self, channel: Channel) -> Message:
        try:
            message = channel.receive()
        except (EOFError, OSError, ValueError):
            raise self._bury("died") from None
        if "alive" in message:
            self._expect_word_within(float(message["alive"]))
        elif "ready" in message:
            self._lost.clear()
            self.phase = Phase.IDLE
        else:
            self._backoff.succeeded()
            self.phase = Phase.IDLE
        return message

    def _bury(self, why: str) -> TrainerDiedError:
        process = self._process
        if process is None:
            return TrainerDiedError(why)
        with contextlib.suppress(Exception):
            process.wait(0.2)  # the pipe breaks a moment before the process can be waited for
        kill(process)
        ended = describe_exit(process.returncode)
        wait_s = self._backoff.failed()
        self._start_at = time.monotonic() + wait_s
        if self._plan.worker not in self._lost:
            self._lost.append(self._plan.worker)
        phase = self.phase
        self._forget()
        log.warning(
            "trainer_died",
            worker=self._plan.worker,
            pid=process.pid,
            why=why,
            ended=ended,
            phase=phase.value,
            restart_in_s=wait_s,
        )
        return TrainerDiedError(f"{why} ({ended})")

    def _forget(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = self._process = None
        self.phase = Phase.ABSENT
