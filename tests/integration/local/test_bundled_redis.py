"""The server of one machine, alone."""

import os
import signal
from pathlib import Path

import pytest

from hpsearch.errors import ServiceDown
from hpsearch.local.redis import BundledRedis
from tests.services.waiting import eventually


def test_a_server_that_does_not_come_up_is_named_and_the_next_one_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bin" / "redis-server"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    with BundledRedis(tmp_path / "r.sock") as server:
        assert server.is_ready()


def test_without_a_working_server_the_error_says_which_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr("hpsearch.local.redis.find_programs", lambda: [broken])
    log = (tmp_path / "redis.log").open("ab")
    with pytest.raises(ServiceDown, match=r"exit code 3.*redis\.log"):
        BundledRedis(tmp_path / "r.sock", log).start()
    log.close()


def test_only_this_user_may_enter_its_folder_and_it_writes_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with BundledRedis(folder / "redis.sock") as server:
        assert folder.stat().st_mode & 0o077 == 0
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.process is None or server.process.poll() is not None, "it left")
        assert list(folder.iterdir()) == []
