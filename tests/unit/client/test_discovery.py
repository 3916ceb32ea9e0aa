"""Which server and which token a client takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.client.client import Client
from hpsearch.client.discovery import find_address, find_token, running_url
from hpsearch.errors import Unavailable
from hpsearch.settings import Settings

LOCAL = "http://127.0.0.1:8123"


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(tmp_path))
    return tmp_path


def announce(data_dir: Path, pid: int) -> None:
    (data_dir / "server.json").write_text(json.dumps({"url": LOCAL, "pid": pid}))
    (data_dir / "token").write_text("stored-token\n")


def test_the_server_of_the_data_folder_is_found_with_its_token(data_dir: Path) -> None:
    announce(data_dir, os.getpid())

    client = Client()

    assert (client.url, client.token) == (LOCAL, "stored-token")


def test_without_a_server_the_error_says_how_to_start_one(data_dir: Path) -> None:
    with pytest.raises(Unavailable, match=f"{data_dir}.*hpsearch up.*HPSEARCH_URL"):
        Client()


def test_a_server_whose_process_is_gone_does_not_count(data_dir: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    announce(data_dir, done.pid)

    assert running_url(data_dir) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "x", "pid": "y"}', "\x00"])
def test_a_broken_announcement_does_not_count(data_dir: Path, text: str) -> None:
    (data_dir / "server.json").write_text(text)

    assert running_url(data_dir) is None


def test_a_configured_server_comes_first(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(data_dir, os.getpid())
    monkeypatch.setenv("HPSEARCH_URL", "https://search.example.org/")
    monkeypatch.setenv("HPSEARCH_TOKEN", "configured")

    address = find_address(Settings())

    assert (address.url, address.token) == ("https://search.example.org", "configured")


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("https://search.example.org", None),
        ("http://10.0.0.7:8000", None),
        ("http://127.0.0.1:9", "stored-token"),
        ("http://localhost:9", "stored-token"),
        ("http://[::1]:9", "stored-token"),
        ("http://127.0.0.1.example.org", None),
    ],
)
def test_the_token_of_the_data_folder_stays_on_this_machine(
    data_dir: Path, url: str, token: str | None
) -> None:
    announce(data_dir, os.getpid())

    assert find_token(Settings(), url) == token
