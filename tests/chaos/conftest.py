"""What chaos tests compare with: the study that nothing disturbed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpsearch.spec.definition import Definition
from hpsearch.storage.database import Database
from hpsearch.studies.create import create_study
from tests.chaos.promises import LARGE, SMALL, Outcome, chaos_study, outcomes
from tests.chaos.trainers import Orders, fork, train
from tests.studies import opened, past_preflight


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=0, help="faults of the long form")
    parser.addoption("--chaos-seed", type=int, default=None, help="repeat a run that failed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what runs on both databases on one of them, but for the long form."""
    if "database_url" in metafunc.fixturenames:
        is_long = metafunc.config.getoption("--kills", 0) > 0
        one = "postgresql" if "connection" in metafunc.function.__name__ else "sqlite"
        kinds = ["sqlite", "postgresql"] if is_long else [one]
        metafunc.parametrize("database_url", kinds, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of this test's own with all tables, of the kind asked for."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path
) -> dict[int, Outcome]:
    """What every trial of the small study comes to when nothing happens."""
    return calm(tmp_path_factory.mktemp("undisturbed"), _sqlite_template, SMALL)


@pytest.fixture(scope="session")
def undisturbed_large(
    tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path
) -> dict[int, Outcome]:
    """What every trial of the large study comes to when nothing happens."""
    return calm(tmp_path_factory.mktemp("undisturbed"), _sqlite_template, LARGE)


@pytest.fixture
def left_alone(_sqlite_template: Path) -> Callable[[Path, Definition], dict[int, Outcome]]:
    """What the trials of any study come to when nothing happens."""
    return lambda folder, definition: calmly(folder, _sqlite_template, definition)


def calm(folder: Path, template: Path, max_trials: int) -> dict[int, Outcome]:
    """Run the study of that size from its beginning to its end in one trainer."""
    found = calmly(folder, template, chaos_study("calm", max_trials))
    assert [outcome.state for outcome in found.values()] == ["COMPLETE"] * max_trials
    return found


def calmly(folder: Path, template: Path, definition: Definition) -> dict[int, Outcome]:
    """Run a study from its beginning to its end in one trainer, undisturbed."""
    shutil.copyfile(template, folder / "hpsearch.db")
    url = f"sqlite:///{folder / 'hpsearch.db'}"
    with opened(url) as database:
        create_study(database, definition)
        past_preflight(database, definition.name)
        process = fork(Orders(folder / "orders"), train, url, str(folder), "calm", None, 1, 30.0)
        process.join(600)
        assert process.exitcode == 0
        return outcomes(database, definition.name)


def begin(database: Database, name: str, max_trials: int = SMALL) -> None:
    """Create a study of that size, its preflight done."""
    create_study(database, chaos_study(name, max_trials))
    past_preflight(database, name)
