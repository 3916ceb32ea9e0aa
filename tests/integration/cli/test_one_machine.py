"""The command line against the whole service on this machine, as a user has it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hpsearch.client.client import Client
from hpsearch.spec.states import StudyState

WITHIN_S = 90.0  # far more than any step takes, on a busy machine too
COMMAND = [sys.executable, "-P", "-m", "hpsearch.cli.main"]

STUDY = """
dataset: {name: digits}
model: {family: mlp, hidden_units: {choices: [16, 32]}}
optimizer: {name: sgd, learning_rate: {low: 0.01, high: 0.1, log: true}, momentum: 0.9}
training: {epochs: EPOCHS, batch_size: 64}
sampler: {name: random}
limits: {max_trials: TRIALS}
"""


@dataclass
class Machine:
    """A data folder, and the commands run on it."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,  # noqa: TID251 - what a shell would hand down
            "HPSEARCH_DATA_DIR": str(self.folder),
            "HPSEARCH_DEVICES": "cpu:1",
            "HPSEARCH_PORT": "0",
            "PYTHONUNBUFFERED": "1",
        }

    def write(self, name: str, *, epochs: int, trials: int) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(STUDY.replace("EPOCHS", str(epochs)).replace("TRIALS", str(trials)))
        return path

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *(str(argument) for argument in arguments)],
            env=self.environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=WITHIN_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def left_over(self) -> list[str]:
        """Return the command lines of all living processes of this data folder."""
        mark = f"HPSEARCH_DATA_DIR={self.folder}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().decode())
            except OSError:  # it is gone, or somebody else's
                continue
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for process in machine.started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=WITHIN_S)


@pytest.fixture
def client(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Client]:
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(machine.folder))
    return Client


def until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        if process.poll() is not None:
            pytest.fail(f"ended early: {process.communicate()}")
        if time.monotonic() > deadline:
            process.send_signal(signal.SIGINT)
            pytest.fail(f"not in time: {process.communicate(timeout=WITHIN_S)}")
        time.sleep(0.05)


def is_up(machine: Machine) -> bool:
    return (machine.folder / "server.json").exists()


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WITHIN_S)
    return process.returncode, out, err


def test_run_goes_from_a_file_to_the_best_trial_and_leaves_nothing_behind(
    machine: Machine,
) -> None:
    done = machine.run("run", machine.write("tiny", epochs=2, trials=3))

    assert done.returncode == 0, done.stderr
    for part in ("tiny: created", "3/3 trials", "best trial", "Top 3 of 3", "hpsearch up"):
        assert part in done.stdout
    assert machine.left_over() == []

    after = machine.run("studies")
    assert after.returncode == 3
    assert "hpsearch up" in after.stderr


def test_ctrl_c_in_run_loses_nothing_and_up_goes_on(
    machine: Machine, client: Callable[[], Client]
) -> None:
    process = machine.start("run", machine.write("long", epochs=500, trials=2))
    until(lambda: is_up(machine) and _epochs(client, "long") > 0, process)

    code, _, err = interrupt(process)

    assert code == 130
    assert "long stays ACTIVE" in err
    assert "hpsearch up" in err
    assert machine.left_over() == []

    up = machine.start("up")
    until(lambda: is_up(machine) and _epochs(client, "long") > 1, up)
    with client() as service:
        assert service.study("long").state is StudyState.ACTIVE
        service.cancel("long")
    code, out, err = interrupt(up)
    assert code == 130, err
    assert "long: ACTIVE" in out
    assert machine.left_over() == []


def test_commands_find_the_server_of_the_data_folder(
    machine: Machine, client: Callable[[], Client]
) -> None:
    up = machine.start("up")
    until(lambda: is_up(machine), up)
    path = machine.write("tiny", epochs=1, trials=2)

    second = machine.run("up")
    assert second.returncode == 2, second.stderr
    ran = machine.run("run", path)
    assert ran.returncode == 0, ran.stderr
    again = machine.run("submit", path)
    assert "exists with this definition, COMPLETED" in again.stdout
    new = json.loads(
        machine.run("submit", path, "--new", "--watch", "--json").stdout.splitlines()[-1]
    )
    assert (new["study"], new["state"]) == ("tiny-2", "COMPLETED")
    listed = json.loads(machine.run("studies", "--json").stdout)
    assert {study["name"] for study in listed["studies"]} == {"tiny", "tiny-2"}
    path.write_text(path.read_text().replace("digits", "digitz"))
    wrong = machine.run("validate", path)
    assert wrong.returncode == 2
    assert "dataset.name (line 2)" in wrong.stderr
    assert machine.run("delete", "tiny-2").returncode == 0

    watching = machine.start("run", machine.write("long", epochs=2000, trials=50))
    until(lambda: _epochs(client, "long") > 0, watching)
    assert machine.run("cancel", "long").returncode == 0
    out, err = watching.communicate(timeout=WITHIN_S)
    assert watching.returncode == 1, err
    assert "long is CANCELLED" in out

    up.terminate()
    out, err = up.communicate(timeout=WITHIN_S)
    assert up.returncode == 128 + signal.SIGTERM, err
    assert "/login?token=" in out
    assert machine.left_over() == []


def _epochs(client: Callable[[], Client], name: str) -> int:
    """Return how many epochs of the study are recorded, 0 while there is no study."""
    with client() as service:
        names = {study.name for study in service.studies()}
        return sum(trial.epochs for trial in service.trials(name)) if name in names else 0
