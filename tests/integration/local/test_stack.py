"""Redis, API and workers as one thing: up, broken, interrupted, gone."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpsearch.errors import InUse, ServiceDown
from hpsearch.local.redis import BundledRedis
from hpsearch.local.stack import Stack
from hpsearch.queue.doorbell import Doorbell
from hpsearch.settings import Settings
from tests.integration.local.conftest import processes_of
from tests.integration.local.stacks import fake_stack
from tests.services.process_tree import LinuxProcess
from tests.services.waiting import eventually


def running(folder: Path, word: str) -> list[LinuxProcess]:
    return [p for p in processes_of(folder) if any(word in part for part in p.command)]


def journal(folder: Path) -> list[dict[str, object]]:
    path = folder / "journal"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def events(folder: Path) -> list[object]:
    return [entry["event"] for entry in journal(folder)]


def test_everything_comes_up_and_everything_goes(settings: Settings, folder: Path) -> None:
    with fake_stack(settings) as stack:
        stack.wait_ready(20)
        server = json.loads((folder / "server.json").read_text())
        assert server == {"url": stack.url, "pid": os.getpid()}
        assert stack.token == "made-by-the-api"
        bell = Doorbell(settings.resolved_redis_url)
        bell.ping()
        bell.close()
        eventually(lambda: "turn" in events(folder), "the worker looks for work")
        assert running(folder, "hpsearch.worker.trainer")
    assert not processes_of(folder)
    assert not (folder / "server.json").exists()
    assert not settings.redis_socket.exists()
    assert (folder / "logs" / "worker.log").stat().st_size > 0


def test_a_stop_has_trainers_hand_their_lanes_back(settings: Settings, folder: Path) -> None:
    (folder / "mode").write_text("train")
    with fake_stack(settings) as stack:
        stack.wait_ready(20)
        eventually(lambda: "turn" in events(folder), "a turn begins")
    assert events(folder)[-2:] == ["handed_back", "closed"]


def test_stopping_twice_or_before_a_start_is_fine(settings: Settings) -> None:
    stack = fake_stack(settings)
    stack.stop()
    with fake_stack(settings) as other:
        other.wait_ready(20)
        other.stop()


def test_a_configured_redis_is_used_and_none_is_started(
    settings_for: Callable[..., Settings], folder: Path, redis_url: str
) -> None:
    with fake_stack(settings_for(folder, redis_url=redis_url)) as stack:
        stack.wait_ready(20)
        assert not running(folder, "redis-server")
        assert not (folder / "logs" / "redis.log").exists()


def test_one_data_folder_has_one_stack(settings: Settings) -> None:
    with fake_stack(settings), pytest.raises(InUse, match=f"process {os.getpid()}"):
        fake_stack(settings).start()


def test_a_wanted_port_that_is_taken_is_named(
    settings_for: Callable[..., Settings], folder: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(ServiceDown, match=f"port {port} is taken"),
            fake_stack(settings_for(folder, port=port)),
        ):
            pass


@pytest.mark.parametrize(
    ("switch", "reason"),
    [("api-is-broken", "no module named luck"), ("upgrade-is-broken", "from the future")],
)
def test_what_does_not_come_up_is_named_with_its_last_words(
    settings: Settings, folder: Path, switch: str, reason: str
) -> None:
    (folder / switch).touch()
    with fake_stack(settings, lambda _: None) as stack:
        with pytest.raises(ServiceDown, match=reason):
            stack.wait_ready(20)
        eventually(lambda: not processes_of(folder), "nothing is left running")


@pytest.mark.parametrize("name", ["fake_api", "hpsearch.worker", "redis-server"])
def test_a_killed_process_is_started_again_and_the_stack_says_so(
    settings: Settings, folder: Path, name: str
) -> None:
    said: list[str] = []
    with fake_stack(settings, said.append) as stack:
        stack.wait_ready(20)
        eventually(lambda: "turn" in events(folder), "the worker is up")
        before = {p.pid for p in running(folder, name)}
        os.kill(min(before), signal.SIGKILL)
        eventually(
            lambda: [p for p in running(folder, name) if p.pid not in before], f"another {name}"
        )
        eventually(lambda: said, "a word on it")
        assert "SIGKILL" in said[0]
        eventually(BundledRedis(settings.redis_socket).is_ready, "Redis answers")


def test_a_data_folder_with_a_long_name_gets_a_short_socket(
    settings_for: Callable[..., Settings], folder: Path
) -> None:
    deep = folder / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    settings = settings_for(deep)
    assert not settings.redis_socket.is_relative_to(deep)
    server = BundledRedis(settings.redis_socket)
    with server:
        bell = Doorbell(settings.resolved_redis_url)
        bell.ping()
        bell.close()
        assert settings.redis_socket.parent.stat().st_mode & 0o077 == 0
    settings.redis_socket.parent.rmdir()


def test_a_data_folder_with_odd_characters_works(
    settings_for: Callable[..., Settings], folder: Path
) -> None:
    odd = folder / "100% données? #1"
    settings = settings_for(odd)
    with BundledRedis(settings.redis_socket):
        bell = Doorbell(settings.resolved_redis_url)
        bell.ping()
        bell.close()


def test_a_stale_socket_and_an_orphaned_server_are_no_obstacle(
    settings: Settings, folder: Path
) -> None:
    orphan = BundledRedis(settings.redis_socket)
    process = orphan.start()
    with BundledRedis(settings.redis_socket) as server:
        assert server.is_ready()
        eventually(lambda: process.poll() is not None, "the orphan has left")
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        assert settings.redis_socket.exists()
        server.start()
        assert server.is_ready()


class Script:
    """A stack in a process of its own, as the foreground job of a terminal."""

    def __init__(self, folder: Path) -> None:
        environment = dict(os.environ)  # noqa: TID251
        environment |= {
            "HPSEARCH_DATA_DIR": str(folder),
            "HPSEARCH_PORT": "0",
            "HPSEARCH_DEVICES": "cpu:1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.integration.local.stacks"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # tests in the background of a shell run without it, and would hand that on
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def script(settings: Settings, folder: Path) -> object:
    started = Script(folder)
    yield started
    started.close()


@pytest.mark.parametrize("after_s", [0.1, 0.25, 0.4, 0.6, 0.9])
def test_a_ctrl_c_during_the_start_leaves_nothing(
    script: Script, folder: Path, after_s: float
) -> None:
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline:  # the moment is the point of the test
        threading.Event().wait(0.01)
    script.ctrl_c()
    script.process.wait(20)
    assert not processes_of(folder)


def test_a_ctrl_c_stops_a_busy_stack_politely(script: Script, folder: Path) -> None:
    (folder / "mode").write_text("train")
    script.wait_ready()
    eventually(lambda: "turn" in events(folder), "a turn runs")
    script.ctrl_c()
    assert script.process.wait(20) == 130
    assert not processes_of(folder)
    assert events(folder)[-2:] == ["handed_back", "closed"]


def test_a_second_ctrl_c_ends_what_does_not_leave(script: Script, folder: Path) -> None:
    (folder / "mode").write_text("stuck")
    script.wait_ready()
    eventually(lambda: "turn" in events(folder), "a turn runs")
    began = time.monotonic()
    script.ctrl_c()
    eventually(lambda: not running(folder, "fake_api"), "the stop has begun")
    script.ctrl_c()
    assert script.process.wait(20) == 130
    assert time.monotonic() - began < 6
    eventually(lambda: not processes_of(folder), "nothing is left")


def test_a_killed_stack_leaves_nothing_and_can_be_started_again(
    script: Script, folder: Path, settings: Settings
) -> None:
    script.wait_ready()
    eventually(lambda: "turn" in events(folder), "the worker is up")
    script.process.kill()
    script.process.wait()
    eventually(lambda: not processes_of(folder), "nothing is left", 5)
    with fake_stack(settings) as stack:
        stack.wait_ready(20)


def test_a_stack_in_a_thread_of_its_own_outlives_the_thread(settings: Settings) -> None:
    stacks: list[Stack] = []

    def start() -> None:
        stacks.append(fake_stack(settings))
        stacks[0].start()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    stacks[0].wait_ready(20)
    stacks[0].stop()
