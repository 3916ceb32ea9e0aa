"""The servers of the test run: they answer, and nothing of them survives the run."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy.engine import make_url

from tests.services.guarded import NoServerError, Programs, guarded, new_folder
from tests.services.postgres import (
    PostgresServer,
    own_postgres,
    postgres_programs,
    postgres_server,
)
from tests.services.redis import RedisServer

ROOT = Path(__file__).parents[3]

KILLED_RUN = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
import redis
from tests.services.postgres import own_postgres
from tests.services.redis import own_redis
with own_postgres() as postgres, own_redis() as cache:
    folder = pathlib.Path(postgres.admin_url.query["host"])
    print(folder, (folder / "data/postmaster.pid").read_text().split()[0], end=" ")
    socket = cache.url.partition("@")[2]
    pid = redis.Redis.from_url(cache.url).info()["process_id"]
    print(socket.rpartition("/")[0], pid, flush=True)
    time.sleep(600)
"""


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_running(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    plain = make_url(url).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_test_run_leaves_no_process_and_no_file(signum: signal.Signals) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, str(ROOT)], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    with run.stdout:
        folder, pid, other_folder, other_pid = run.stdout.readline().split()
    folders = [Path(folder), Path(other_folder)]
    try:
        assert all(path.exists() for path in folders)
        assert is_running(pid)
        assert is_running(other_pid)
    finally:
        run.send_signal(signum)
        run.wait()

    assert until(lambda: not any(path.exists() for path in folders))
    assert until(lambda: not is_running(pid) and not is_running(other_pid))


def test_a_database_of_a_test_holds_only_what_the_test_wrote(
    empty_postgres_url: str, postgres_url: str
) -> None:
    with connect(empty_postgres_url) as first, connect(postgres_url) as second:
        first.execute("CREATE TABLE mine (x int)")
        first.commit()
        count = second.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'mine'")
        assert count.fetchone() == (0,)


def test_a_database_copied_from_a_template_has_its_tables() -> None:
    with own_postgres() as server:
        template = server.create()
        with connect(template) as connection:
            connection.execute("CREATE TABLE theirs (x int)")
        copy = server.create(template)
        with connect(copy) as connection:
            assert connection.execute("SELECT count(*) FROM theirs").fetchone() == (0,)


def test_a_configured_server_is_used_and_left_tidy(postgres_admin: PostgresServer) -> None:
    url = postgres_admin.admin_url.render_as_string(hide_password=False)
    living = make_url(postgres_admin.create()).database
    dead = PostgresServer(postgres_admin.admin_url)
    orphan = make_url(dead.create()).database  # its run holds no lock: it counts as killed
    with postgres_server(url) as server:
        mine = make_url(server.create()).database
        with connect(url) as connection:
            names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        assert {mine, living} <= names
        assert orphan not in names
    with connect(url) as connection:
        names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
    assert mine not in names


def test_redis_answers_on_its_socket_and_over_tcp_with_a_password(
    redis_server: RedisServer, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as one, redis.Redis.from_url(redis_server.tcp_url) as two:
        one.set("key", "value")
        assert two.get("key") == b"value"
    naked = redis_server.tcp_url.replace(":redis-of-the-tests@", "")
    with redis.Redis.from_url(naked) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_a_server_that_cannot_start_says_why() -> None:
    folder = new_folder("no")
    programs = Programs(Path(str(shutil.which("sh"))).parent, ".", "sh")
    command = ["{programs}/sh", "-c", "echo no room left; exit 3"]
    with (
        pytest.raises(NoServerError, match="no room left"),
        guarded(folder, [command, command], bool, programs=programs),
    ):
        pass
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must give its rights away")
def test_postgresql_runs_unprivileged_even_where_its_programs_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = postgres_programs()
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for part in public.parts:
        shutil.copytree(public.base / part, private / part, symlinks=True)
    programs = dataclasses.replace(public, base=private)
    monkeypatch.setattr("tests.services.postgres.postgres_programs", lambda: programs)
    with own_postgres() as server:
        assert server.is_ready()
