"""Servers of the test run's own: started on demand, gone with it, whatever kills it."""

import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GUARDIAN = Path(__file__).with_name("guardian.py")
START_S = 60.0  # on a loaded machine; a second is usual
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


class NoServerError(RuntimeError):
    """A server of the test run does not start."""


def unprivileged_user() -> str | None:
    """Return the user servers run as, None for the present one."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def new_folder(kind: str) -> Path:
    """Return a short path that nothing uses, below a folder which the servers' user reaches.

    The path is short because a Unix socket's address has room for about 100 bytes.
    """
    user = unprivileged_user()
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if user is None or _is_passable(Path(base).resolve(), user):
            return Path(base).resolve() / f"hps-{kind}-{uuid.uuid4().hex[:12]}"
    raise NoServerError(f"no temporary folder that user {user} can reach")


def _is_passable(folder: Path, user: str) -> bool:
    entry = pwd.getpwnam(user)
    return (
        subprocess.run(
            ["/bin/sh", "-c", f"cd '{folder}'"],
            user=user,
            group=entry.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )


@dataclass(frozen=True, slots=True)
class Programs:
    """Where a server's programs lie, and what must be copied for a user who cannot reach them.

    Attributes:
        base: An absolute folder; the other two are relative to it.
        folder: Where the programs are.
        server: The name of the server's program.
        parts: Folders that hold the programs and all they load.
    """

    base: Path
    folder: str
    server: str
    parts: tuple[str, ...] = ()


class Power:
    """The switch of a guarded server."""

    def __init__(self, guardian: subprocess.Popen[str], is_ready: Callable[[], bool]) -> None:
        self._guardian, self._is_ready = guardian, is_ready

    def cut(self) -> None:
        """End the server at once; what it has written stays."""
        self._say("kill")

    def restore(self) -> None:
        """Start it again and wait until it answers.

        Raises:
            NoServerError: It does not.
        """
        self._say("start")
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise NoServerError("it does not come back")
            time.sleep(0.02)

    def _say(self, word: str) -> None:
        assert self._guardian.stdin is not None
        assert self._guardian.stdout is not None
        self._guardian.stdin.write(word + "\n")
        self._guardian.stdin.flush()
        if self._guardian.stdout.readline().strip() != "done":
            raise NoServerError(f"its guardian did not {word} it")


@contextmanager
def guarded(
    folder: Path,
    commands: Sequence[Sequence[str]],
    is_ready: Callable[[], bool],
    *,
    programs: Programs,
    user: str | None = None,
) -> Iterator[Power]:
    """Run the last of ``commands`` as a server, after the others, while the block lasts.

    Args:
        folder: Made for the server, removed with it.
        commands: ``{programs}`` in a word stands for where the programs lie.
        is_ready: Whether the server answers.
        programs: What the commands run.
        user: Who runs it; None for the present user.

    Raises:
        NoServerError: It does not answer in time, or a command fails.
    """
    order = {
        "folder": str(folder),
        "commands": [list(command) for command in commands],
        "base": str(programs.base),
        "programs": programs.folder,
        "parts": list(programs.parts),
        "server": programs.server,
        "user": user,
    }
    guardian = subprocess.Popen(
        [sys.executable, "-I", str(GUARDIAN)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches the tests, not their servers
    )
    assert guardian.stdin is not None
    assert guardian.stdout is not None
    try:
        guardian.stdin.write(json.dumps(order) + "\n")
        guardian.stdin.flush()
        answer = guardian.stdout.readline().strip()
        if answer != "serving":
            raise NoServerError(f"{programs.server}: {answer or 'its guardian died'}")
        deadline = time.monotonic() + START_S
        while not is_ready():
            if guardian.poll() is not None or time.monotonic() > deadline:
                log = folder / "log"
                detail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                raise NoServerError(f"{programs.server} does not answer: {detail}")
            time.sleep(0.02)
        yield Power(guardian, is_ready)
    finally:
        guardian.stdin.close()
        guardian.stdout.close()
        guardian.wait()
