"""The order of trials and the views that are kept are those a fresh look would find."""

import itertools
import random
from collections.abc import Iterator

import pytest

from hpsearch.spec.states import TrialState
from hpsearch.spec.views import TrialSummary
from hpsearch.storage import studies
from hpsearch.storage.database import Database
from hpsearch.studies import change, control, ranking
from hpsearch.studies.finished import Finished
from hpsearch.studies.ranking import pareto_front, ranked
from hpsearch.studies.read import best_trials, get_study, list_trials, list_trials_as
from hpsearch.studies.report import Ending, TrialReport
from hpsearch.studies.study_views import StudyViews
from tests.studies import Hand, metrics_of, opened, stored

TWO = [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def end(hand: Hand, n: int, *values: tuple[float, ...]) -> None:
    """Claim ``n`` trials and end as many as there are values."""
    for lane, value in zip(hand.claim(n), values, strict=False):
        ending = Ending(TrialState.COMPLETE, 1, value)
        epochs = {1: metrics_of(value[0])}
        hand.report(TrialReport(lane.number, lane.token, epochs, 1.0, 10, ending))


def order(database: Database, order_by: str = "value", limit: int = 2) -> list[int]:
    """Return all numbers, page by page."""
    found: list[int] = []
    token: str | None = None
    for _ in itertools.count():
        page, token = list_trials(
            database, "study", order_by=order_by, limit=limit, page_token=token
        )
        found += [trial.number for trial in page]
        if token is None:
            return found
    raise AssertionError


def test_the_order_follows_every_end_without_reading_the_others_again(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 20})
    end(hand, 3, (0.5,), (0.9,), (0.5,))
    assert order(database) == [1, 0, 2]
    end(hand, 3, (0.7,), (0.95,))  # the third still runs
    assert order(database) == [4, 1, 3, 0, 2, 5]
    assert order(database, "-value") == [2, 0, 3, 1, 4, 5]


def test_the_front_that_is_kept_is_the_front_of_all(database: Database) -> None:
    hand = stored(database, objectives=TWO, sampler={"name": "random"}, limits={"max_trials": 40})
    chance = random.Random(3)
    points: dict[int, tuple[float, ...]] = {}
    for _ in range(4):
        values = [(chance.randrange(10) / 10, float(chance.randrange(10))) for _ in range(5)]
        end(hand, 5, *values)
        points |= {len(points) + i: value for i, value in enumerate(values)}
        expected = [
            number
            for number, (high, low) in points.items()
            if not any(
                h >= high and v <= low and (h, v) != (high, low) for h, v in points.values()
            )
        ]
        assert [trial.number for trial in best_trials(database, "study")] == expected


def test_what_a_transaction_saw_that_never_came_to_be_is_not_kept(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 20})
    end(hand, 1, (0.5,))
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, hand.uuid)
        assert study is not None
        assert ranked(tx, study) == [0]
    assert hand.uuid not in ranking._kept


def test_a_finished_trial_is_made_once_and_a_running_one_anew(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 20})
    made: list[int] = []

    def make(trial: TrialSummary) -> int:
        made.append(trial.number)
        return trial.epochs

    finished = Finished(make, most=10)
    end(hand, 1, (0.5,))
    lane = hand.claim(1)[0]
    assert list_trials_as(finished, database, "study")[0] == [1, 0]
    hand.epoch(lane, 1)
    assert list_trials_as(finished, database, "study")[0] == [1, 1]
    hand.finish(lane, epoch=2)
    assert list_trials_as(finished, database, "study")[0] == [1, 2]
    assert list_trials_as(finished, database, "study")[0] == [1, 2]
    assert made == [0, 1, 1, 1]


def test_only_so_many_finished_trials_are_remembered(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 20})
    end(hand, 5, *[(0.5,)] * 5)
    finished = Finished(lambda trial: trial.number, most=3)
    assert list_trials_as(finished, database, "study")[0] == [0, 1, 2, 3, 4]
    assert len(finished._kept) == 3


def test_a_view_is_made_once_a_revision_and_shows_every_change_at_once(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 20})
    views = StudyViews()
    first = views.look(database, "study")
    assert views.look(database, "study") is first
    end(hand, 1, (0.5,))
    assert views.look(database, "study").counts.complete == 1
    change.change_study(database, "study", {"weight": 2.0})
    assert views.look(database, "study").weight == 2.0
    control.pause(database, "study")
    assert views.look(database, "study").state == get_study(database, "study").state


def test_a_study_deleted_and_made_anew_is_another(database: Database) -> None:
    views = StudyViews()
    end(stored(database, limits={"max_trials": 20}), 1, (0.5,))
    assert views.look(database, "study").counts.complete == 1
    assert order(database) == [0]
    control.cancel(database, "study")
    control.delete_study(database, "study")
    stored(database, limits={"max_trials": 20})
    assert views.look(database, "study").counts.complete == 0
    assert order(database) == []


def test_equal_points_are_all_on_the_front() -> None:
    assert pareto_front([((1.0, 2.0), 4), ((1.0, 2.0), 2), ((1.0, 3.0), 1)]) == [
        ((1.0, 2.0), 2),
        ((1.0, 2.0), 4),
    ]
    assert pareto_front([]) == []
