"""Every target that the Makefile speaks of does something."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
PHONY = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def make(*words: str) -> str:
    done = subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_help_and_the_list_of_targets_agree() -> None:
    explained = set(re.findall(r"^make (\S+) ", make("--silent", "help"), re.MULTILINE))
    assert explained <= {name for line in PHONY for name in line.split()}


@pytest.mark.parametrize("target", [name for line in PHONY for name in line.split()])
def test_a_target_has_something_to_do(target: str) -> None:
    told = make("--dry-run", "--always-make", target)
    assert told.strip()
    assert "Nothing to be done" not in told
