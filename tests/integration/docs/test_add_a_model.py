"""The page on new model families: its plugin passes its test and is trained by its study."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "add-a-model.md").read_text("utf-8")

# what a worker does, in short: the study's own definition, one trial of each branch
TRAIN = """
import sys
from pathlib import Path

import skip

from hpsearch.catalog import installed_catalog
from hpsearch.datasets.base import REGISTRY
from hpsearch.datasets.splits import split
from hpsearch.spec.definition import parse_definition
from hpsearch.spec.yaml import load_yaml
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import Goal, LaneSpec, Reply

raw, lines = load_yaml(Path("study.yaml").read_text())
definition = parse_definition(raw, installed_catalog(), lines)
dataset = REGISTRY["digits"]()
splits = split(dataset.load(Path()), definition.dataset, dataset.info().task)
rate = {"optimizer.learning_rate": 0.01}
names = {"skip": "model.skip.hidden_units", "mlp": "model.mlp.hidden_units[0]"}
points = [{"model": f, names[f]: n, **rate} for f in names for n in (16, 15)]
waiting = [LaneSpec(n, definition.space.resolve(point)) for n, point in enumerate(points)]
ends = {}

def boundary(it):
    ends.update({report.number: report.end for report in it.reports if report.end})
    admitted, waiting[:] = waiting[: it.n_free], waiting[it.n_free :]
    return Reply(admit=tuple(admitted))

goal = Goal(definition.goal_metric, definition.goal_direction)
Engine(splits, goal, 0, lanes=4).run(boundary, lambda: False)
print(*(ends[number].test["accuracy"] for number in range(4)))
"""


def block(language: str, begins_with: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(str(one) for one in blocks if one.startswith(begins_with))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("family")
    for name in ("skip.py", "test_skip.py"):
        (path / name).write_text(block("python", f"# {name}\n"), "utf-8")
    (path / "study.yaml").write_text(block("yaml", "name: skip-or-not"), "utf-8")
    (path / "train.py").write_text(TRAIN, "utf-8")
    return path


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_pages_plugin_passes_the_pages_test(folder: Path) -> None:
    out = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_skip.py")
    assert "1 passed" in out


def test_the_pages_study_trains_the_new_family_beside_an_old_one(folder: Path) -> None:
    accuracies = [float(word) for word in run(folder, "train.py").split()]
    assert len(accuracies) == 4
    assert min(accuracies) > 0.8
