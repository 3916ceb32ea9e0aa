"""Own one server for as long as the test process that asked for it lives.

Run as a script with the standard library alone. The order comes as one line of JSON on standard
input; the word ``serving`` or an error goes to standard output. Then the line ``kill`` ends the
server at once and ``start`` starts it again on what it left; ``done`` answers both. When standard
input closes, or the parent is gone (killed, too), the server is stopped and its folder removed: a
killed test run leaves neither process nor file.
"""

import ctypes
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

POLL_S = 0.5  # how soon a killed test run is noticed
STOP_S = 10.0  # a server that ignores its signal that long is killed
PR_SET_PDEATHSIG = 1


def give_to(user: str | None, folder: Path) -> None:
    """Make ``folder`` the user's own; everybody may pass through it, nobody else may write."""
    if user is None:
        return
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)


def can_run(program: str, user: str | None) -> bool:
    """Return whether the user reaches and may execute the program."""
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True, **identity(user))
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def identity(user: str | None) -> dict[str, Any]:
    """Return the arguments of ``Popen`` that run a program as this user."""
    if user is None:
        return {"cwd": "/"}
    return {"cwd": "/", "user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def die_with(parent: int) -> Callable[[], None]:
    """Return a function for a new child: the kernel interrupts it when its parent dies."""

    def prepare() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def prepare(order: dict[str, Any]) -> Callable[[], subprocess.Popen[bytes]]:
    """Prepare the folder as ordered and return what starts the server."""
    folder, user = Path(order["folder"]), order["user"]
    folder.mkdir(mode=0o700)
    give_to(user, folder)
    base, programs = Path(order["base"]), order["programs"]
    if user is not None and not can_run(f"{base / programs}/{order['server']}", user):
        # a virtual environment below a private home: the user gets a copy of the programs
        for part in order["parts"]:
            shutil.copytree(base / part, folder / "copy" / part, symlinks=True)
        base = folder / "copy"
        subprocess.run(["chmod", "-R", "a+rX", str(base)], check=True)
    commands = [
        [str(word).replace("{programs}", f"{base / programs}") for word in command]
        for command in order["commands"]
    ]
    with (folder / "log").open("wb") as log:
        if user is not None:
            os.fchown(log.fileno(), pwd.getpwnam(user).pw_uid, -1)
        for command in commands[:-1]:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **identity(user),
            )

    def start() -> subprocess.Popen[bytes]:
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                commands[-1],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with(os.getpid()),
                **identity(user),
            )

    return start


def kill(server: subprocess.Popen[bytes]) -> None:
    """End the server as a power cut would."""
    server.send_signal(signal.SIGQUIT)  # PostgreSQL's immediate shutdown; its children go, too
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main() -> int:
    """Serve one order and return the exit status."""
    parent = os.getppid()
    leaving = False

    def leave(signum: int, frame: object) -> None:
        nonlocal leaving
        leaving = True

    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)
    order = json.loads(sys.stdin.readline())
    folder = Path(order["folder"])
    server: subprocess.Popen[bytes] | None = None
    try:
        try:
            start = prepare(order)
            server = start()
        except (OSError, subprocess.SubprocessError) as error:
            log = folder / "log"
            detail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            print(f"{error}\n{detail}".replace("\n", " | "), flush=True)
            return 1
        print("serving", flush=True)
        is_down = False  # because it should be
        while not leaving and os.getppid() == parent and (is_down or server.poll() is None):
            if not select.select([sys.stdin], [], [], POLL_S)[0]:
                continue
            word = sys.stdin.readline().strip()
            if word == "kill" and not is_down:
                kill(server)
                is_down = True
            elif word == "start" and is_down:
                server = start()
                is_down = False
            else:
                break  # end of file
            print("done", flush=True)
        return 0
    finally:
        if server is not None and server.poll() is None:
            server.send_signal(signal.SIGINT)  # PostgreSQL: a fast shutdown; Redis: shutdown
            try:
                server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
