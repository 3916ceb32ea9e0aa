"""The example definitions as they are written, trained to their ends; only shortened."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.spec.yaml import load_yaml
from hpsearch.turn import TurnRunner
from tests.services.diabetes import write_diabetes
from tests.services.idx import write_tiny_mnist
from tests.services.in_process import Http, served

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.usefixtures("one_thread")

# a test has seconds: fewer trials, fewer epochs, nothing else is changed
SHORTER: dict[str, dict[str, Any]] = {
    "mnist-mlp": {"max_trials": 4, "epochs": 3},
    "rows-rnn": {"max_trials": 6, "epochs": 2},
    "fashion-optimizers": {"max_trials": 12, "epochs": 3},
    "housing": {"max_trials": 4, "epochs": {"low": 5, "high": 20, "step": 5}},
    "mnist-small": {"max_trials": 8, "epochs": 2},
    "noise": {"max_trials": 3, "epochs": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_mnist(tmp_path_factory.mktemp("data"))
    shutil.copytree(folder / "mnist", folder / "fashion_mnist")
    return folder


@pytest.fixture(scope="module")
def http(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, _sqlite_template: Path
) -> Iterator[Http]:
    data = tmp_path_factory.mktemp("server")
    shutil.copyfile(_sqlite_template, data / "hpsearch.db")
    with served(f"sqlite:///{data / 'hpsearch.db'}", data, datasets_dir=folder) as http:
        yield http


@pytest.mark.parametrize("name", list(SHORTER))
def test_an_example_trains_to_its_end(name: str, http: Http, folder: Path) -> None:
    if name == "housing":
        table = write_diabetes(folder / "housing.csv").read_text()
        put = http.send(
            "PUT",
            "/v1/datasets/housing?target=price&task=regression",
            content=table,
            headers={"content-type": "text/csv"},
        )
        assert put.status_code == 201, put.text
    definition, _ = load_yaml((EXAMPLES / f"{name}.yaml").read_text())
    assert isinstance(definition, dict)
    whole = http.post("/v1/studies:validate", json=definition)
    assert whole.status_code == 200, whole.text
    definition["limits"]["max_trials"] = SHORTER[name]["max_trials"]
    definition["training"]["epochs"] = SHORTER[name]["epochs"]
    made = http.post("/v1/studies", json=definition)
    assert made.status_code == 201, made.text
    study = train(http, definition["name"], folder)
    n_trials = SHORTER[name]["max_trials"]
    assert study["state"] == "COMPLETED", study["state_reason"]
    counts = study["counts"]
    if study["state_reason"] != "TARGET_REACHED":
        assert counts["complete"] + counts["pruned"] + counts["fail"] == n_trials
    assert counts["complete"] >= 1
    trials = http.get(f"/v1/studies/{definition['name']}/trials").json()["trials"]
    failures = [trial["failure"]["kind"] for trial in trials if trial["failure"]]
    assert set(failures) <= {"diverged"}, "a wide range may diverge, nothing else may go wrong"
    for trial in trials:
        if trial["state"] == "COMPLETE":
            assert set(trial["values"]) == {each["metric"] for each in objectives(study)}
            assert trial["test"]["loss"] is not None
    if name == "mnist-small":
        assert "warm_start" in {trial["origin"] for trial in trials} or study["warnings"]


def objectives(study: dict[str, Any]) -> list[dict[str, Any]]:
    found = study["definition"]["objectives"]
    assert isinstance(found, list)
    return found


def train(http: Http, name: str, folder: Path) -> dict[str, Any]:
    services = http.app.state.services
    runner = TurnRunner(
        http.database,
        worker="worker-0",
        device="cpu",
        datasets_dir=folder,
        artifacts_dir=services.artifacts_dir,
        lease_s=60.0,
        turn_s=60.0,
    )
    for _ in range(40):
        if runner.run(None, lambda: False).study is None:
            break
    study: dict[str, Any] = http.get(f"/v1/studies/{name}").json()
    return study
