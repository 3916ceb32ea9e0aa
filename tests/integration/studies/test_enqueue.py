"""Points of users, retries, and trials that are told to end."""

from dataclasses import replace
from typing import Any

import optuna
import pytest

from hpsearch.errors import RequestInvalid, TrialNotFound, WrongState
from hpsearch.spec.states import FailureKind, Origin, StudyState, TrialState
from hpsearch.storage.database import Database
from hpsearch.studies.control import pause, stop
from hpsearch.studies.enqueue import enqueue, retry
from hpsearch.studies.read import get_study, get_trial
from hpsearch.studies.recover import HandBack, hand_back
from hpsearch.studies.report import Ending, Verdict
from hpsearch.studies.stop_trial import stop_trial
from tests.studies import Hand, epochs_of, stored

RATE, WIDTH = "optimizer.learning_rate", "model.hidden_units[0]"
BRANCHES: dict[str, Any] = {
    "model": {
        "family": "mlp",
        "hidden_layers": {"low": 1, "high": 2},
        "hidden_units": {"low": 4, "high": 64},
    },
    "optimizer": {
        "choices": [
            {"name": "sgd", "momentum": {"low": 0.0, "high": 0.9}},
            {"name": "adam", "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
        ]
    },
}


def fail(hand: Hand, n: int = 1) -> None:
    failure = (FailureKind.USER_ERROR, "no")
    end = Ending(TrialState.FAIL, failure=failure)
    for trial in hand.claim(n):
        hand.report(replace(epochs_of(trial, {}), end=end))


def test_a_users_point_waits_and_is_trained_before_sampled_ones(database: Database) -> None:
    hand = stored(database)
    hand.claim(1)

    (added,) = enqueue(database, "study", params={RATE: 0.25, WIDTH: 32})

    assert (added.number, added.state, added.origin) == (1, TrialState.WAITING, Origin.USER)
    assert added.params == {RATE: 0.25, WIDTH: 32}
    claimed = hand.claim(1)
    assert claimed[0].number == 1
    view = get_trial(database, "study", 1)
    assert (view.state, view.params) == (TrialState.RUNNING, {RATE: 0.25, WIDTH: 32})
    assert view.config is not None
    assert view.config["optimizer"]["learning_rate"] == 0.25


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_what_a_user_leaves_open_is_sampled(database: Database, sampler: str) -> None:
    hand = stored(database, sampler={"name": sampler}, limits={"max_trials": 8})
    for trial in hand.claim(2):
        hand.finish(trial)
    enqueue(database, "study", params={RATE: 0.25}, count=3)

    numbers = [trial.number for trial in hand.claim(4)]

    points = [get_trial(database, "study", number).params for number in numbers]
    assert [point[RATE] for point in points[:3]] == [0.25] * 3
    assert points[3][RATE] != 0.25
    assert all(4 <= float(str(point[WIDTH])) <= 64 for point in points)


def test_the_same_point_again_is_trained_with_other_seeds(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 9})
    hand.claim(1)

    added = enqueue(database, "study", from_trial=0, count=3)

    assert [trial.number for trial in added] == [1, 2, 3]
    assert {str(t.params) for t in added} == {str(get_trial(database, "study", 0).params)}


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({RATE: 2.0, WIDTH: 3, "nope": 1}, {RATE, WIDTH, "nope"}),
        ({RATE: "0.1"}, {RATE}),
        ({"model.hidden_units[1]": 8}, {"model.hidden_units[1]"}),
    ],
)
def test_a_point_outside_the_space_is_refused_with_every_mistake(
    database: Database, params: dict[str, Any], names: set[str]
) -> None:
    stored(database)
    with pytest.raises(RequestInvalid) as caught:
        enqueue(database, "study", params=params)
    assert {error.loc for error in caught.value.errors} == {("params", name) for name in names}
    assert get_study(database, "study").counts.waiting == 0


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer.sgd.momentum": 0.5},
        {"model.hidden_units[1]": 8},
        {"optimizer": "adam", "optimizer.sgd.momentum": 0.5},
    ],
)
def test_a_parameter_needs_the_choice_it_depends_on(
    database: Database, params: dict[str, Any]
) -> None:
    hand = stored(database, **BRANCHES)
    with pytest.raises(RequestInvalid, match="a meaning at some points only"):
        enqueue(database, "study", params=params)

    enqueue(database, "study", params={"optimizer": "sgd", "optimizer.sgd.momentum": 0.5})

    hand.claim(1)
    assert get_trial(database, "study", 0).params["optimizer.sgd.momentum"] == 0.5


def test_a_user_chooses_points_or_a_trial_that_is_there(database: Database) -> None:
    stored(database)
    for wish in ({}, {"params": {}, "from_trial": 0}, {"from_trial": 7}, {"from_trial": -1}):
        with pytest.raises(RequestInvalid):
            enqueue(database, "study", **wish)
    with pytest.raises(RequestInvalid):
        enqueue(database, "study", params={}, count=0)


def test_points_beyond_the_limit_or_after_the_end_conflict(database: Database) -> None:
    stored(database, limits={"max_trials": 3})
    enqueue(database, "study", params={}, count=2)
    with pytest.raises(WrongState, match="room for 1"):
        enqueue(database, "study", params={}, count=2)
    pause(database, "study")
    enqueue(database, "study", params={})
    stop(database, "study")
    with pytest.raises(WrongState, match="STOPPED"):
        enqueue(database, "study", params={})


def test_users_points_count_and_the_rest_is_sampled(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 3})
    enqueue(database, "study", params={RATE: 0.5}, count=2)

    claimed = hand.claim(9)

    assert [trial.number for trial in claimed] == [0, 1, 2]
    for trial in claimed:
        hand.finish(trial)
    assert get_study(database, "study").state is StudyState.COMPLETED


def test_a_request_sent_again_with_its_key_adds_nothing(database: Database) -> None:
    hand = stored(database)
    first = enqueue(database, "study", params={}, request_key="k")
    assert enqueue(database, "study", params={}, request_key="k") == first
    fail(hand)
    again = retry(database, "study", 0, request_key="r")
    assert retry(database, "study", 0, request_key="r") == again
    assert get_study(database, "study").definition["limits"]["max_trials"] == 5


def test_optuna_reads_an_enqueued_trial_as_its_own(database: Database) -> None:
    stored(database)
    enqueue(database, "study", params={RATE: 0.25})
    url = database.url.render_as_string(hide_password=False)
    storage = optuna.storages.RDBStorage(url, skip_table_creation=True)
    theirs = optuna.create_study(study_name="theirs", storage=storage)
    theirs.enqueue_trial({RATE: 0.25})

    (mine,) = optuna.load_study(study_name="study", storage=storage).trials
    (other,) = theirs.trials

    storage.remove_session()
    storage.engine.dispose()
    assert (mine.state, mine.system_attrs, mine.params, mine.user_attrs) == (
        other.state,
        other.system_attrs,
        other.params,
        other.user_attrs,
    )
    assert mine.datetime_start == other.datetime_start


def test_a_retry_is_a_new_trial_at_the_same_point_and_one_more(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 1})
    fail(hand)
    assert get_study(database, "study").state is StudyState.COMPLETED

    added = retry(database, "study", 0)

    assert (added.number, added.origin, added.state) == (1, Origin.RETRY, TrialState.WAITING)
    study = get_study(database, "study")
    assert (study.state, study.definition["limits"]["max_trials"]) == (StudyState.ACTIVE, 2)
    (claimed,) = hand.claim(5)
    assert claimed.number == 1
    hand.finish(claimed)
    assert get_trial(database, "study", 1).params == get_trial(database, "study", 0).params
    assert get_study(database, "study").state is StudyState.COMPLETED


def test_only_failed_trials_of_studies_that_can_go_on_are_retried(database: Database) -> None:
    hand = stored(database)
    hand.finish(hand.claim(1)[0])
    with pytest.raises(WrongState, match="COMPLETE, not FAIL"):
        retry(database, "study", 0)
    with pytest.raises(TrialNotFound):
        retry(database, "study", 5)
    fail(hand)
    stop(database, "study")
    with pytest.raises(WrongState, match="STOPPED"):
        retry(database, "study", 1)


def test_a_stopped_trial_is_told_to_finish_at_its_epoch(database: Database) -> None:
    hand = stored(database)
    one, two = hand.claim(2)
    hand.epoch(one, 1)

    assert stop_trial(database, "study", 0).state is TrialState.RUNNING

    assert hand.epoch(one, 2).verdict is Verdict.FINISH
    assert hand.epoch(two, 1).verdict is Verdict.CONTINUE
    hand.finish(one, epoch=3)
    assert stop_trial(database, "study", 0).state is TrialState.COMPLETE


def test_a_stopped_trial_that_waits_finishes_once_it_goes_on(database: Database) -> None:
    hand = stored(database)
    enqueue(database, "study", params={})
    with pytest.raises(WrongState, match="has not begun"):
        stop_trial(database, "study", 0)
    with pytest.raises(TrialNotFound):
        stop_trial(database, "study", 9)
    trial = hand.claim(1)[0]
    hand_back(database, hand.uuid, [HandBack(0, trial.token, 1.0)])

    stop_trial(database, "study", 0)

    assert hand.epoch(hand.claim(1)[0], 1).verdict is Verdict.FINISH
