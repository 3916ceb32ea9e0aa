"""Tokens and the API alone, from the command line, on a real database."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hpsearch.client.discovery import running_url
from hpsearch.errors import InvalidRequest
from hpsearch.studies.tokens import create_token, known_tokens
from tests.services.waiting import eventually
from tests.studies import opened

COMMAND = (sys.executable, "-m", "hpsearch.cli.main")


def hpsearch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(folder),
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "HPSEARCH_DATA_DIR": str(folder)}  # noqa: TID251 - as a shell would


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[str]:
    """`hpsearch serve` while port 8000 is somebody else's, if it was free."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        except OSError:
            pass  # all the better
        with subprocess.Popen(
            [*COMMAND, "serve"],
            env=environment(tmp_path),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield eventually(lambda: running_url(tmp_path) or "", "it listens", 60)
            finally:
                process.terminate()
    assert running_url(tmp_path) is None


def test_serve_takes_the_next_free_port_and_tokens_open_it_until_revoked(
    serving: str, tmp_path: Path
) -> None:
    assert not serving.endswith(":8000")

    def status(token: str, method: str = "GET") -> int:
        headers = {"authorization": f"Bearer {token}"}
        url = f"{serving}/v1/studies"
        return httpx.request(method, url, headers=headers, timeout=60).status_code

    made = hpsearch(tmp_path, "token", "create", "ann", "--scope", "read")
    token = made.stdout.strip()
    assert (status(token), status(token, "POST")) == (200, 403)
    assert hpsearch(tmp_path, "studies").returncode == 0  # finds it by the data folder

    twice = hpsearch(tmp_path, "token", "create", "ann")
    assert (twice.returncode, "named 'ann'" in twice.stderr) == (2, True)
    listed = hpsearch(tmp_path, "token", "list", "--json").stdout
    assert [(t["name"], t["scope"]) for t in json.loads(listed)["tokens"]] == [("ann", "read")]
    assert token not in listed

    assert hpsearch(tmp_path, "token", "revoke", "ann").returncode == 0
    assert status(token) == 401
    assert hpsearch(tmp_path, "token", "revoke", "ann").returncode == 2


@pytest.mark.parametrize(
    ("name", "owner", "scope", "said"),
    [
        ("a b", "ann", "write", "name: expected 1 to 64 letters"),
        ("ann", "", "write", "owner: expected 1 to 64 letters"),
        ("ann", "ann", "root", "expected one of read, write, admin"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    sqlite_url: str, name: str, owner: str, scope: str, said: str
) -> None:
    with opened(sqlite_url) as database:
        with pytest.raises(InvalidRequest, match=said):
            create_token(database, name, owner=owner, scope=scope)
        assert known_tokens(database) == []
