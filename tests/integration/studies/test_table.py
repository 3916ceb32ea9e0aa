"""The table of trials: sorted by any column, filtered by any parameter, in pages."""

import pytest

from hpsearch.errors import RequestInvalid
from hpsearch.spec.states import TrialState
from hpsearch.storage.database import Database
from hpsearch.studies.compare import courses
from hpsearch.studies.crew import crew
from hpsearch.studies.table import TrialTable, trial_table
from tests.studies import stored

RATE = "optimizer.learning_rate"


@pytest.fixture
def table_of(database: Database) -> Database:
    hand = stored(database, limits={"max_trials": 12})
    for trial in hand.claim(10):
        if trial.number < 8:
            hand.finish(trial, (trial.number * 3 % 8) / 10)
        else:
            hand.epoch(trial, 1)
    return database


def numbers(table: TrialTable) -> list[int]:
    return [trial.number for trial in table.trials]


def test_the_best_come_first_and_those_without_a_value_last(table_of: Database) -> None:
    table = trial_table(table_of, "study")
    assert numbers(table) == [5, 2, 7, 4, 1, 6, 3, 0, 8, 9]
    assert (table.total, table.of, table.n_pages, table.best) == (10, 10, 1, frozenset({5}))
    assert numbers(trial_table(table_of, "study", is_descending=True))[:3] == [0, 3, 6]


def test_pages_hold_every_trial_once(table_of: Database) -> None:
    pages = [trial_table(table_of, "study", page=page, limit=4) for page in (1, 2, 3)]
    assert [len(page.trials) for page in pages] == [4, 4, 2]
    assert sorted(number for page in pages for number in numbers(page)) == list(range(10))
    assert trial_table(table_of, "study", page=99, limit=4).page == 3


def test_a_parameter_sorts_and_filters(table_of: Database) -> None:
    table = trial_table(table_of, "study", sort=f"param:{RATE}")
    rates = [trial.params[RATE] for trial in table.trials]
    assert rates == sorted(rates)  # type: ignore[type-var]  # floats all
    limit = rates[4]
    low = trial_table(table_of, "study", where=f"learning_rate < {limit}, hidden_units[0] >= 1")
    assert low.total == 4
    assert trial_table(table_of, "study", where=f"{RATE} >= {limit}").total == 6


@pytest.mark.parametrize("sort", ["number", "state", "epochs", "device_seconds", "origin"])
def test_every_column_sorts(table_of: Database, sort: str) -> None:
    assert sorted(numbers(trial_table(table_of, "study", sort=sort))) == list(range(10))


def test_a_state_filters(table_of: Database) -> None:
    table = trial_table(table_of, "study", state=TrialState.RUNNING)
    assert (numbers(table), table.of) == ([8, 9], 10)


@pytest.mark.parametrize(
    "asked", [{"where": "depth = 3"}, {"where": "nonsense"}, {"sort": "param:x"}, {"sort": "x"}]
)
def test_what_makes_no_sense_is_refused(table_of: Database, asked: dict[str, str]) -> None:
    with pytest.raises(RequestInvalid, match="expected"):
        trial_table(table_of, "study", **asked)  # type: ignore[arg-type]  # texts all


def test_courses_are_the_best_so_far(table_of: Database) -> None:
    (course,) = courses(table_of, ["study"])
    assert course.best == (0.0, 0.3, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7)


def test_the_crew_is_empty_until_somebody_comes(database: Database) -> None:
    assert crew(database) == []
