"""`hpsearch preflight` as a user runs it: one command, no server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.storage.database import Database
from hpsearch.storage.schema import upgrade
from hpsearch.studies.datasets import Upload, add_dataset, reception
from tests.services.diabetes import write_diabetes
from tests.studies import opened

STUDY = """
dataset: {name: digits, DATASET}
model: {family: mlp, hidden_units: {low: 16, high: 64}}
optimizer: {name: adam, learning_rate: {low: 1e-3, high: 1e-1, log: true}}
training: {epochs: 3}
limits: {max_trials: 3}
"""
HOUSING = """
dataset: {name: housing, test_fraction: 0.2}
model: {family: mlp, hidden_layers: {low: 1, high: 2}, hidden_units: {low: 8, high: 64}}
optimizer: {name: adam, learning_rate: {low: 1e-3, high: 3e-2, log: true}}
limits: {max_trials: 3}
"""

Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    def run(text: str, *options: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return subprocess.run(
            [sys.executable, "-P", "-m", "hpsearch.cli.main", "preflight", str(path), *options],
            env={**os.environ, "HPSEARCH_DATA_DIR": str(tmp_path / "data")},  # noqa: TID251 - a shell's
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}


def test_a_sound_study_is_ready_to_run_and_nothing_is_started(
    shell: Shell, tmp_path: Path
) -> None:
    done = shell(STUDY.replace("DATASET", ""))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Ready to run: study" in done.stdout
    assert "log(10) = 2.30" in done.stdout
    assert not (tmp_path / "data").exists()


def test_data_that_cannot_be_trained_on_is_exit_code_1(shell: Shell) -> None:
    done = shell(STUDY.replace("DATASET", "train_fraction: 0.001"), "--json")
    assert done.returncode == 1, done.stderr
    assert findings(done)["sizes"]["severity"] == "failure"


def test_an_invalid_definition_is_exit_code_2_with_its_line(shell: Shell) -> None:
    done = shell(STUDY.replace("DATASET", "norm: none"))
    assert done.returncode == 2
    assert "line 2" in done.stderr
    assert done.stdout == ""


def test_an_uploaded_data_set_is_found_without_a_server(shell: Shell, tmp_path: Path) -> None:
    assert shell(HOUSING).returncode == 2, "nothing is uploaded yet"
    data = tmp_path / "data"
    data.mkdir()
    url = f"sqlite:///{data / 'hpsearch.db'}"
    upgrade(url)
    with opened(url) as database:
        upload_diabetes(database, data / "artifacts")

    done = shell(HOUSING, "--json")

    assert done.returncode == 0, done.stderr
    assert findings(done)["targets"]["severity"] == "ok"
    assert findings(done)["overfit"]["severity"] == "ok"


def upload_diabetes(database: Database, artifacts: Path) -> None:
    with reception(artifacts) as folder:
        path = write_diabetes(folder / "housing.csv", "price")
        upload = Upload(path, "text/csv", "0" * 64, path.stat().st_size, "price", None)
        add_dataset(database, artifacts, "housing", upload, owner="admin", max_bytes=2**24)
