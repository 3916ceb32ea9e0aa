"""Child processes: start one that cannot outlive us, end it, start it again, but not at once."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import hpsearch.tether

Process = subprocess.Popen[bytes]
_TETHER = str(Path(hpsearch.tether.__file__))


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules with this interpreter."""
    return [sys.executable, "-P", "-m", module, *arguments]


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> Process:
    """Start a command in a process group of its own that dies with this process.

    Call it from a thread that lives as long as the child may: the kernel's tie is to the
    thread.

    Args:
        command: Absolute path of a program and its arguments.
        environment: The child's environment; this process's if None.
        output: Where standard output and error go; this process's if None.
        pass_fds: File descriptors the child inherits.
    """
    tethered = [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), *command]
    return subprocess.Popen(  # noqa: S603 - a list, never a shell
        tethered,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        pass_fds=pass_fds,
        process_group=0,  # a Ctrl-C in the terminal reaches us alone; we stop them in order
    )


def kill(process: Process) -> None:
    """End a process and its group at once and wait for it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    process.wait()


def stop(
    processes: Iterable[Process], grace_s: float, hurry: Callable[[], bool] = lambda: False
) -> None:
    """Ask processes to leave, and kill those still there after the grace.

    Args:
        processes: Asked all at once, with SIGTERM.
        grace_s: Time they have together, s.
        hurry: Ends the grace early when it returns true.
    """
    waiting = [process for process in processes if process.poll() is None]
    for process in waiting:
        process.terminate()
    deadline = time.monotonic() + grace_s
    while waiting and time.monotonic() < deadline and not hurry():
        time.sleep(0.02)
        waiting = [process for process in waiting if process.poll() is None]
    for process in waiting:
        kill(process)


def describe_exit(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


class Backoff:
    """How long to wait before starting again what keeps failing.

    Args:
        first_s: The first wait.
        longest_s: Waits double up to this.
        calm_s: After a life this long a failure counts as the first again.
    """

    def __init__(
        self, first_s: float = 0.1, longest_s: float = 30.0, calm_s: float = 60.0
    ) -> None:
        self._first_s, self._longest_s, self._calm_s = first_s, longest_s, calm_s
        self._wait_s = first_s
        self._born_at = time.monotonic()
        self.n_failures = 0

    def started(self) -> None:
        """Note that it starts now."""
        self._born_at = time.monotonic()

    def failed(self) -> float:
        """Return how long to wait now that it failed, s."""
        if time.monotonic() - self._born_at >= self._calm_s:
            self.succeeded()
        self.n_failures += 1
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, self._longest_s)
        return wait_s

    def succeeded(self) -> None:
        """Forget earlier failures."""
        self._wait_s, self.n_failures = self._first_s, 0


Handler = Callable[[int, FrameType | None], object]


class SignalPipe:
    """Signals as a file that becomes readable, so that waiting for anything sees them too."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._reader.fileno()

    @contextlib.contextmanager
    def handling(self, handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
        """Handle signals while the block runs; from the main thread only."""
        before = {number: signal.getsignal(number) for number in handlers}
        wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        try:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)
            signal.set_wakeup_fd(wakeup)

    def drain(self) -> None:
        """Forget the signals that came so far (their handlers have run)."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(1024):
                pass

    def wait(self, timeout_s: float) -> None:
        """Return at the next signal, at the latest after the time."""
        select.select([self._reader], [], [], max(0.0, timeout_s))
        self.drain()
