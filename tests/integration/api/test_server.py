"""The API as a process: a real socket, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.services.in_process import ADMIN
from tests.services.processes import Household, household, until
from tests.services.sockets import free_port
from tests.studies import document

READY_S = 30
MAX_RESIDENT_MB = 200
TOKEN = {"authorization": f"Bearer {ADMIN}"}


@dataclass
class Server:
    """One API process."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=TOKEN, trust_env=False, timeout=30)

    def post(self, path: str, **request: object) -> httpx.Response:
        return httpx.post(self.url + path, headers=TOKEN, trust_env=False, timeout=30, **request)  # type: ignore[arg-type]  # handed on

    def raw(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the answer to bytes as they are."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), headers, body

    def is_up(self) -> bool:
        try:
            return self.get("/healthz").status_code == 200
        except httpx.TransportError:
            assert self.process.poll() is None, self.log.read_text()
            return False


def start(home: Household, url: str, folder: Path, **environment: str) -> Server:
    port = free_port()
    process = home.start(
        "api",
        [sys.executable, "-P", "-m", "hpsearch.api"],
        {
            "HPSEARCH_DATABASE_URL": url,
            "HPSEARCH_REDIS_URL": "redis://127.0.0.1:1",
            "HPSEARCH_DATA_DIR": str(folder),
            "HPSEARCH_PORT": str(port),
            "HPSEARCH_TOKEN": ADMIN,
            "HPSEARCH_LOG_FORMAT": "json",
            "HPSEARCH_LOG_LEVEL": "DEBUG",
            **environment,
        },
        folder,
    )
    server = Server(process, port, home.log_of("api"))
    until(server.is_up, READY_S, "the API answers")
    return server


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Household]:
    path = os.environ["PATH"]  # noqa: TID251 - handed to a child process
    with household({"PATH": path, "PYTHONWARNINGS": "error"}, tmp_path) as home:
        yield home


@pytest.fixture
def server(home: Household, sqlite_url: str, tmp_path: Path) -> Server:
    return start(home, sqlite_url, tmp_path)


def test_the_janitor_runs_beside_the_requests_on_both_databases(
    home: Household, database_url: str, tmp_path: Path
) -> None:
    server = start(home, database_url, tmp_path)
    body = document(limits={"timeout_s": 0.2})
    assert server.post("/v1/studies", json=body).status_code == 201

    def ended() -> bool:
        study = server.get("/v1/studies/study").json()
        return (study["state"], study["state_reason"]) == ("COMPLETED", "TIMEOUT")

    until(ended, 15, "the janitor ends the study at its time limit")


def test_it_stays_small_and_keeps_secrets_out_of_its_log(server: Server) -> None:
    assert server.post("/v1/studies", json=document()).status_code == 201
    with ThreadPoolExecutor(16) as pool:
        paths = ["/", "/studies/study", "/docs", "/v1/studies", "/dashboard/", "/api/studies"] * 10
        answers = list(pool.map(server.get, paths))
    assert {answer.status_code for answer in answers} == {200}
    login = httpx.get(f"{server.url}/login?token={ADMIN}", trust_env=False)
    assert login.status_code == 303
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    resident_kb = int(status.split("VmRSS:")[1].split()[0])
    assert resident_kb / 1024 <= MAX_RESIDENT_MB
    assert "torch" not in Path(f"/proc/{server.process.pid}/maps").read_text()
    log = server.log.read_text()
    assert ADMIN not in log
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "api_started" in events
    assert "request_failed" not in events


def test_sigterm_ends_it_in_order(server: Server) -> None:
    with httpx.Client(base_url=server.url, headers=TOKEN, trust_env=False) as client:
        assert client.get("/v1/studies").status_code == 200  # and the connection stays open
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) in {0, -signal.SIGTERM}
    assert "api_stopped" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_settings_that_cannot_work_end_it_with_a_reason(home: Household, tmp_path: Path) -> None:
    environment = {"HPSEARCH_DATABASE_URL": "mysql://bob:secret@host/x"}
    command = [sys.executable, "-P", "-m", "hpsearch.api"]
    environment["HPSEARCH_DATA_DIR"] = str(tmp_path)
    process = home.start("api", command, environment, tmp_path)
    assert process.wait(READY_S) == 2
    text = home.log_of("api").read_text()
    assert "HPSEARCH_DATABASE_URL" in text
    assert "secret" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /v1/studies/%zz HTTP/1.1", 404),
        (b"GET /v1/studies/% HTTP/1.1", 404),
        (b"GET /v1/studies/%ff%fe HTTP/1.1", 404),
        (b"GET /v1/studies/%00 HTTP/1.1", 404),
        (b"GET /v1/studies/../../etc/passwd HTTP/1.1", 404),
        (b"GET /v1/studies?limit=%zz HTTP/1.1", 422),
        (b"GET /v1/studies?%ff HTTP/1.1", 422),
        (b"GET /v1/studies?&&&===&& HTTP/1.1", 422),
        (b"GET //v1/studies HTTP/1.1", 404),
        (b"GET http://evil.example/v1/studies HTTP/1.1", 404),
        (b"OPTIONS * HTTP/1.1", 404),
        (b"GET /v1/\xff HTTP/1.1", 400),
        (b"GET /v1/studies\x00 HTTP/1.1", 400),
        (b"GARBAGE", 400),
    ],
)
def test_a_strange_request_line_is_refused_with_a_problem(
    shared: Server, request_line: bytes, status: int
) -> None:
    head = b"\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
    head += ADMIN.encode() + b"\r\n\r\n"
    got, headers, body = shared.raw(request_line + head)
    assert got == status, body
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize(
    ("extra", "body", "status"),
    [
        (b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n", 422),
        (b"Transfer-Encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n", 400),
        (b"Transfer-Encoding: gzip", b"", 400),
        (b"Content-Length: 2", b"{}", 422),
        (b"Content-Length: -2", b"{}", 400),
        (b"Content-Length: 9999999999", b"{}", 413),
        (b"Content-Length: 99999999999999999999999", b"{}", 400),
        (b"Content-Length: 2\r\nContent-Length: 3", b"{}", 400),
        (b"X-Nothing: 1", b"", 400),
        (b"Expect: 100-continue\r\nContent-Length: 9999999", b"", 413),
    ],
)
def test_a_strange_body_is_refused_with_a_problem(
    shared: Server, extra: bytes, body: bytes, status: int
) -> None:
    head = (
        b"POST /v1/studies HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer " + ADMIN.encode() + b"\r\nContent-Type: application/json\r\n"
    )
    got, headers, answer = shared.raw(head + extra + b"\r\n\r\n" + body)
    assert got == status, answer
    assert headers["content-type"] == "application/problem+json"


def test_a_client_that_leaves_in_the_middle_leaves_no_trace(shared: Server) -> None:
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(
            b"POST /v1/studies HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Authorization: Bearer " + ADMIN.encode() + b"\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
    assert shared.get("/v1/studies").status_code == 200
    until(lambda: "client_disconnected" in shared.log.read_text(), 10, "it notices")
    assert "request_failed" not in shared.log.read_text()


@pytest.fixture(scope="module")
def shared(_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process for what changes nothing."""
    folder = tmp_path_factory.mktemp("server")
    database = folder / "hpsearch.db"
    database.write_bytes(_sqlite_template.read_bytes())
    path = os.environ["PATH"]  # noqa: TID251 - handed to a child process
    with household({"PATH": path}, folder) as home:
        yield start(home, f"sqlite:///{database}", folder)
