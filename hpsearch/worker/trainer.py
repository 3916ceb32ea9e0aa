"""The warm child: takes turns over a pipe and keeps imports, data and device between them."""

import argparse
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

from hpsearch.errors import Unavailable
from hpsearch.logs import configure_logs, get_logger
from hpsearch.processes import Backoff
from hpsearch.settings import Settings
from hpsearch.worker.channel import Channel, Message
from hpsearch.worker.pulse import LOADING_SILENCE_S, Pulse
from hpsearch.worker.runner import Runner, find_factory

log = get_logger(__name__)

_STOP: Message = {"stop": True}


class Inbox:
    """What the parent says, read by a thread so that a stop is heard while training.

    When the parent hangs up, the process ends at once: no trainer survives its worker.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._turns: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopping = False  # a plain flag: a signal handler sets it
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def is_stopping(self) -> bool:
        """Return whether the parent wants us gone."""
        return self._stopping

    def stop(self, *_: object) -> None:
        """End after the present turn, which should end now."""
        self._stopping = True
        self._turns.put(_STOP)

    def sleep(self, seconds: float) -> None:
        """Return after a time, or at once when the parent wants us gone."""
        deadline = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < deadline:
            time.sleep(0.05)

    def next_turn(self) -> Message | None:
        """Wait for a turn; None when it is time to leave."""
        message = self._turns.get()
        return None if self.is_stopping() else message

    def _listen(self) -> None:
        try:
            while True:
                message = self._channel.receive()
                if "stop" in message:
                    self.stop()
                else:
                    self._turns.put(message)
        except (EOFError, OSError):
            os._exit(0)


def serve(channel: Channel, inbox: Inbox, make_runner: Callable[[], Runner]) -> int:
    """Take turns until told to stop. Returns the exit code."""

    def announce(allowed_s: float) -> None:
        channel.send({"alive": allowed_s})

    runner = _patiently(make_runner, inbox, announce)
    if runner is None:
        return 0
    channel.send({"ready": True})
    code = 0
    while code == 0 and (message := inbox.next_turn()) is not None:
        pulse = Pulse(announce, inbox.is_stopping)
        try:
            with pulse.reporting():
                worked = bool(runner.run(message["turn"], pulse.interrupted, pulse.progress))
            channel.send({"done": worked})
        except Unavailable as error:
            channel.send({"failed": str(error)})
        except Exception as error:
            # Our bug or a poisoned CUDA context: a fresh process is the only safe answer.
            log.exception("turn_crashed", error=type(error).__name__)
            code = 1
    if code == 0:
        _say_goodbye(runner)
    return code


def _patiently(
    make_runner: Callable[[], Runner], inbox: Inbox, announce: Callable[[float], None]
) -> Runner | None:
    backoff = Backoff(first_s=0.5, longest_s=5.0)
    while not inbox.is_stopping():
        announce(LOADING_SILENCE_S)
        try:
            return make_runner()
        except Unavailable as error:
            if backoff.n_failures == 0:
                log.warning("trainer_waits", reason=str(error))
            inbox.sleep(backoff.failed())
    return None


def _say_goodbye(runner: Runner) -> None:
    try:
        runner.close()
    except Exception as error:
        log.warning("goodbye_failed", error=str(error))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hpsearch.worker.trainer")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--core", type=int)
    parser.add_argument("--runner", required=True)
    parser.add_argument("--lost", action="append", default=[])
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run a trainer until its parent hangs up or says stop."""
    options = _parse(arguments)
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})  # before torch counts its threads
    channel = Channel.inherited(options.channel)
    inbox = Inbox(channel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, inbox.stop)
    settings = Settings()
    configure_logs(settings.log_level, settings.log_format)
    began = time.monotonic()

    def make_runner() -> Runner:
        runner = find_factory(options.runner)(settings, options.worker, options.device)
        for name in options.lost:
            runner.worker_lost(name)
        return runner

    code = serve(channel, inbox, make_runner)
    log.info("trainer_left", worker=options.worker, lived_s=round(time.monotonic() - began, 1))
    return code


if __name__ == "__main__":
    # Not sys.exit: threads of libraries must not keep a finished trainer alive.
    exit_code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
