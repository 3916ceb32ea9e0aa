"""Processes that must stay small load no library they do not need."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "sqlalchemy", "optuna", "fastapi", "alembic", "scipy", "sklearn", "pandas")

API = """
import pkgutil
import hpsearch.api, hpsearch.studies, hpsearch.storage
from hpsearch.catalog import installed_catalog
for room in (hpsearch.api, hpsearch.studies, hpsearch.storage):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        if not module.name.endswith("__main__"):
            __import__(module.name)
installed_catalog()
"""


def loaded_by(program: str) -> set[str]:
    """Return which of the heavy libraries a fresh interpreter has loaded after ``program``."""
    report = f"import sys\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-P", "-c", f"{program}\n{report}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_the_api_with_all_its_plugins_never_loads_torch() -> None:
    loaded = loaded_by(API)
    assert {"fastapi", "sqlalchemy"} <= loaded, "the program imports what it claims to"
    assert "torch" not in loaded


@pytest.mark.parametrize("module", ["hpsearch.worker.__main__", "hpsearch.worker.listener"])
def test_the_parents_of_a_trainer_load_neither_torch_nor_a_database(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


@pytest.mark.parametrize("module", ["hpsearch.cli.main", "hpsearch.client.client"])
def test_the_command_line_and_the_client_load_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


@pytest.mark.parametrize("room", ["models", "optimizers", "datasets"])
def test_the_settings_of_plugins_are_known_without_torch(room: str) -> None:
    program = f"from hpsearch.{room}.base import REGISTRY\ntuple(REGISTRY)\n"
    assert "torch" not in loaded_by(program)
