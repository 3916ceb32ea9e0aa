"""The compose files say what ``docker compose`` understands and what a cluster needs."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.services import compose

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docker-compose.yml"
CPU_FILE = ROOT / "docker-compose.cpu.yml"
OURS = {"migrate", "api", "worker", "dashboard"}
SECRETS = {"POSTGRES_PASSWORD": "a1", "REDIS_PASSWORD": "b2", "HPSEARCH_TOKEN": "c3"}


@pytest.fixture(scope="module")
def schema() -> Any:
    vendored = resources.files("check_jsonschema.builtin_schemas.vendor")
    return json.loads(vendored.joinpath("compose-spec.json").read_text())


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = compose.load(FILE, SECRETS)["services"]
    return found


@pytest.mark.parametrize("path", [FILE, CPU_FILE], ids=lambda path: path.name)
@pytest.mark.parametrize("variables", [None, SECRETS], ids=["as written", "filled in"])
def test_a_compose_file_follows_the_compose_specification(
    path: Path, variables: dict[str, str] | None, schema: Any
) -> None:
    jsonschema.validate(compose.load(path, variables), schema)


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_a_cluster_without_its_secrets_does_not_start(missing: str) -> None:
    variables = {name: value for name, value in SECRETS.items() if name != missing}
    with pytest.raises(compose.ComposeError, match=rf"{missing}.*\.env"):
        compose.load(FILE, variables)


def test_the_example_of_the_secrets_names_all_of_them_and_holds_none() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert {line for line in lines if line and not line.startswith("#")} == {
        f"{name}=" for name in SECRETS
    }


def test_database_and_redis_are_not_published(services: dict[str, Any]) -> None:
    assert "ports" not in services["postgres"]
    assert "ports" not in services["redis"]
    assert "ports" not in services["worker"]
    published = services["api"]["ports"] + services["dashboard"]["ports"]
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_writable_dashboard_starts_only_when_asked_for(services: dict[str, Any]) -> None:
    assert services["dashboard"]["profiles"] == ["dashboard"]
    assert all("profiles" not in services[name] for name in services if name != "dashboard")


def test_a_worker_reserves_a_gpu_and_has_time_to_hand_its_trials_back(
    services: dict[str, Any],
) -> None:
    (device,) = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "1", "capabilities": ["gpu"]}
    assert services["worker"]["stop_grace_period"] == "15s"
    assert "container_name" not in services["worker"], "a named container cannot be scaled"


def test_without_gpus_the_worker_reserves_none() -> None:
    override = compose.load(CPU_FILE)["services"]
    assert set(override) == OURS
    assert override["worker"]["deploy"] is None
    assert all(service["build"]["target"] == "cpu" for service in override.values())


def test_everything_waits_for_the_migrated_database(services: dict[str, Any]) -> None:
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in OURS - {"migrate"}:
        condition = services[name]["depends_on"]["migrate"]["condition"]
        assert condition == "service_completed_successfully", name


def test_every_lasting_service_is_checked_for_health(services: dict[str, Any]) -> None:
    for name in set(services) - {"migrate"}:
        assert services[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name


def test_the_state_of_a_cluster_lies_in_named_volumes(services: dict[str, Any]) -> None:
    volumes = set(compose.load(FILE)["volumes"])
    mounts = {mount for service in services.values() for mount in service.get("volumes", [])}
    assert {mount.split(":")[0] for mount in mounts} == volumes


def test_the_image_runs_unprivileged_and_gets_its_signals() -> None:
    text = (ROOT / "Dockerfile").read_text()
    lines = text.splitlines()
    assert "USER 10001:10001" in lines
    assert 'ENTRYPOINT ["hpsearch"]' in lines, "a shell would swallow SIGTERM"
    assert [line.split()[-1] for line in lines if line.startswith("FROM")] == [
        "build",
        "runtime",
        "cpu",
        "cuda",
    ]


def test_the_image_gets_everything_the_wheel_is_made_of() -> None:
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {"requirements.lock", "pyproject.toml", "README.md", "LICENSE", "hpsearch"}
    assert sent == copied
    assert all((ROOT / name).exists() for name in copied)
