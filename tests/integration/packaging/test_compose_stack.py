"""The services of the compose file, each by its own command and environment, run a study.

There is no container engine here: the processes run on this machine, against a real PostgreSQL
and a real Redis. Only addresses and paths differ from what the containers see.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as redis_library

from tests.services import compose
from tests.services.processes import Household, household, until
from tests.services.redis import RedisServer
from tests.services.sockets import free_port

ROOT = Path(__file__).parents[3]
TOKEN = "the-token-of-this-test"
VARIABLES = {
    "POSTGRES_PASSWORD": "password1",
    "REDIS_PASSWORD": "password2",
    "HPSEARCH_TOKEN": TOKEN,
    "HPSEARCH_DEVICES": "cpu:1",
}
STUDY = """
name: composed
dataset: {name: digits}
model: {family: mlp, hidden_units: {low: 8, high: 32}}
optimizer: {name: adam, learning_rate: {low: 1e-3, high: 1e-2, log: true}}
training: {epochs: 2, batch_size: 128}
sampler: {name: random}
limits: {max_trials: 4}
"""


class Stack:
    """The compose file's services as processes of this machine.

    Attributes:
        url: Where the API answers.
    """

    def __init__(self, home: Household, places: Mapping[str, str], url: str, cwd: Path) -> None:
        self._home, self._places, self.url, self._cwd = home, places, url, cwd
        self._services = compose.load(ROOT / "docker-compose.yml", VARIABLES)["services"]
        self._image = compose.read_image(ROOT / "Dockerfile")

    def run(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service by the command and the environment its container would have."""
        service = self._services[name]
        command = [self._here(word) for word in compose.command_of(service, self._image)]
        return self._home.start(name, command, self._environment(name), self._cwd)

    def is_healthy(self, name: str) -> bool:
        """Run the service's own health check once."""
        probe = [self._here(word) for word in compose.probe_of(self._services[name])]
        environment = {**self._home.environment, **self._environment(name)}
        done = subprocess.run(
            probe, env=environment, cwd=self._cwd, capture_output=True, check=False
        )
        return done.returncode == 0

    def grace_s(self, name: str) -> float:
        """Return how long the engine waits between SIGTERM and SIGKILL."""
        return float(self._services[name].get("stop_grace_period", "10s").removesuffix("s"))

    def log(self, name: str) -> str:
        """Return what the service has said so far."""
        return self._home.log_of(name).read_text()

    def living(self) -> list[str]:
        """Return the command lines of every process that is left."""
        return self._home.living()

    def _environment(self, name: str) -> dict[str, str]:
        own = {**self._image.environment, **self._services[name].get("environment", {})}
        own.pop("PATH")
        return {key: self._here(value) for key, value in own.items()}

    def _here(self, text: str) -> str:
        anywhere = "|".join(map(re.escape, self._places))
        return re.sub(anywhere, lambda match: self._places[match[0]], text)


@pytest.fixture
def stack(
    empty_postgres_url: str, redis_server: RedisServer, redis_url: str, tmp_path: Path
) -> Iterator[Stack]:
    api_port, dashboard_port = free_port(), free_port()
    places = {
        "postgresql+psycopg://hpsearch:password1@postgres:5432/hpsearch": empty_postgres_url,
        "redis://:password2@redis:6379/0": redis_server.tcp_url,
        "/var/lib/hpsearch": str(tmp_path / "volume"),
        "0.0.0.0": "127.0.0.1",
        "8000": str(api_port),
        "8080": str(dashboard_port),
    }
    (tmp_path / "volume").mkdir()
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    with household(environment, tmp_path) as home:
        yield Stack(home, places, f"http://127.0.0.1:{api_port}", tmp_path)


def test_a_study_runs_through_the_services_of_the_compose_file(
    stack: Stack, redis_url: str
) -> None:
    migrate = stack.run("migrate")
    assert migrate.wait(60) == 0, stack.log("migrate")
    services = {name: stack.run(name) for name in ("api", "worker", "dashboard")}
    for name in services:
        until(partial(stack.is_healthy, name), 60, partial(stack.log, name))

    with httpx.Client(base_url=stack.url, timeout=30) as client:
        assert client.get("/v1/studies").status_code == 401
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        created = client.post(
            "/v1/studies", content=STUDY, headers={"Content-Type": "application/yaml"}
        )
        assert created.status_code == 201, created.text
        study = until(lambda: _ended(client), 120, partial(stack.log, "worker"))
        trials = client.get("/v1/studies/composed/trials").json()["trials"]
    assert (study["state"], study["state_reason"]) == ("COMPLETED", "MAX_TRIALS")
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * 4
    assert [len(trial["values"]) for trial in trials] == [1] * 4

    for name, process in services.items():
        process.send_signal(signal.SIGTERM)
        status = process.wait(stack.grace_s(name))
        assert status in (0, -signal.SIGTERM, 128 + signal.SIGTERM), (name, stack.log(name))
    assert until(lambda: not stack.living() or None, 5, "the last process to end")
    with redis_library.Redis.from_url(redis_url) as client_of_redis:
        assert client_of_redis.llen("rq:queue:turns") == 0


def _ended(client: httpx.Client) -> dict[str, Any] | None:
    study: dict[str, Any] = client.get("/v1/studies/composed").json()
    return study if study["finished_at"] else None


def test_the_programs_that_services_and_probes_name_exist() -> None:
    document = compose.load(ROOT / "docker-compose.yml", VARIABLES)["services"]
    image = compose.read_image(ROOT / "Dockerfile")
    named = {compose.command_of(document[name], image)[0] for name in ("migrate", "api", "worker")}
    assert named == {"hpsearch"}
    assert shutil.which("hpsearch", path=str(Path(sys.executable).parent)), "run `make install`"
