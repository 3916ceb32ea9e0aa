"""The tutorial and the how-to pages, command by command, on a running service."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hpsearch.local.stack import Stack
from hpsearch.settings import Settings
from tests.services.diabetes import write_diabetes

DOCS = Path(__file__).parents[3] / "docs"
HOW_TO = DOCS / "how-to"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
COMMAND = [sys.executable, "-P", "-m", "hpsearch.cli.main"]
WITHIN_S = 120.0


class Shell:
    """A shell in a folder, beside a running service."""

    def __init__(self, folder: Path, data_dir: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.environment = {
            **os.environ,  # noqa: TID251 - what a shell would hand down
            "HPSEARCH_DATA_DIR": str(data_dir),
        }

    def run(self, *words: str) -> str:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def hpsearch(self, *words: str) -> str:
        return self.run(*COMMAND, *words)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, mnist_folder: Path) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("docs")
    (folder / "data").mkdir()
    settings = Settings(
        _env_file=None,
        data_dir=folder / "data",
        datasets_dir=mnist_folder,
        devices="cpu:1",
        port=0,
    )
    write_diabetes(folder / "housing.csv")
    with Stack(settings) as stack:
        stack.wait_ready(WITHIN_S)
        yield Shell(folder, folder / "data", stack.url)


def play(shell: Shell, page: str) -> None:
    """Do what a page says, from its first block to its last."""
    for language, body in BLOCK.findall((HOW_TO / page).read_text()):
        if language == "yaml":
            (shell.folder / "housing.yaml").write_text(body)
        elif language == "python":
            shell.run(sys.executable, "-c", body)
        elif language == "console":
            for line in body.splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[0] == "export" or words[1] == "up":
                    continue
                shell.hpsearch(*("housing" if word == "NAME" else word for word in words[1:]))


def test_every_command_on_own_data_sets_and_on_exports_works(shell: Shell) -> None:
    play(shell, "own-data-set.md")
    play(shell, "take-results-away.md")

    shown = json.loads(shell.hpsearch("show", "housing", "--json"))
    assert (shown["state"], shown["counts"]["complete"]) == ("COMPLETED", 8)
    best = shown["best_trials"][0]
    assert best["values"]["val_rmse"] < 70, "the mean is 77 off"

    folder = shell.folder
    assert len((folder / "housing-trials.csv").read_text().splitlines()) == 9
    whole = json.loads((folder / "housing.json").read_text())
    assert {row["number"] for row in whole["epochs"]} == set(range(8))
    said = shell.run(sys.executable, "housing-model/predict.py", "housing.csv").split()
    prices = np.loadtxt(folder / "housing.csv", delimiter=",", skiprows=1, usecols=11)
    off = np.sqrt(np.mean((np.array(said, float) - prices) ** 2))
    assert off < 70
    assert check_events(folder / "housing-tensorboard") == 8
    assert (folder / "housing.onnx").stat().st_size > 500


def check_events(folder: Path) -> int:
    """Return how many runs there are, each with its curves and its hyperparameters."""
    from tensorboardX.proto.event_pb2 import Event

    n_runs = 0
    for run in folder.iterdir():
        (file,) = run.iterdir()
        data, tags, at = file.read_bytes(), set(), 0
        while at < len(data):  # length, its checksum, the event, its checksum
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])
            tags |= {value.tag for value in event.summary.value}
            at += length + 16
        assert {"val_rmse", "train_loss", "final/val_rmse", "test/rmse"} <= tags
        assert "_hparams_/session_start_info" in tags
        n_runs += 1
    return n_runs


def test_every_command_of_the_tutorial_works(
    shell: Shell, mnist_folder: Path, tmp_path: Path
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "hpsearch").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    (commands / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    for command in commands.iterdir():
        command.chmod(0o755)
    shell.environment["PATH"] = f"{commands}{os.pathsep}{shell.environment['PATH']}"
    page = (DOCS / "tutorial.md").read_text()
    said: dict[str, str] = {}
    for language, body in BLOCK.findall(page):
        if language == "yaml" and body.startswith("name: "):
            name = body.split()[1]
            (shell.folder / f"{name}.yaml").write_text(shortened(body))
        elif language == "python":
            here = body.replace(
                'Path.home() / ".local/share/hpsearch/datasets"', f"Path({str(mnist_folder)!r})"
            ).replace("/path/to/hpsearch.db", f"/{shell.folder}/data/hpsearch.db")
            shell.run(sys.executable, "-c", here)
        elif language == "console":
            # one shell a block: a variable set in a line is known in the next
            lines = [line for line in body.replace("\\\n", " ").splitlines() if runs_here(line)]
            script = "set -e\n" + "\n".join(line.removeprefix("$ ") for line in lines)
            said[body] = shell.run("sh", "-c", script.replace("http://127.0.0.1:8000", shell.url))
    (best,) = json.loads(shell.hpsearch("best", "final-mnist", "--json"))["trials"]
    assert best["test"]["accuracy"] > 0.8, "guessing has 0.1"
    rows = next(text for body, text in said.items() if "predict.py" in body).splitlines()
    assert [0 <= int(row.split()[0]) <= 9 for row in rows] == [True] * 10
    shown = json.loads(shell.hpsearch("show", "final-mnist", "--json"))
    assert (shown["state"], shown["counts"]["complete"]) == ("COMPLETED", 3)


def shortened(definition: str) -> str:
    """Return it as the tutorial says how to make it short; the second study likewise."""
    for long, short in (
        ("train_fraction: 0.2", "train_fraction: 0.02"),
        ("epochs: 10", "epochs: 3"),
        ("max_trials: 30", "max_trials: 6"),
        ("dataset: {name: mnist}", "dataset: {name: mnist, train_fraction: 0.05}"),
        ("epochs: 20", "epochs: 4"),
    ):
        definition = definition.replace(long, short)
    return definition


def runs_here(line: str) -> bool:
    """Return whether a line is played: not what the service of this test stands for."""
    if line.startswith(("$ make run", "$ export PATH", "$ hpsearch up")):
        return False  # tests/integration/cli/test_one_machine.py runs those
    if "digits-mlp" in line:
        return False  # of `make run`
    return "curl" not in line or shutil.which("curl") is not None
