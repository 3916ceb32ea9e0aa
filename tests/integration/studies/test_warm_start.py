"""Studies that begin with the best points of others."""

from typing import Any

import pytest
from sqlalchemy import select

from hpsearch.errors import InvalidDefinition
from hpsearch.spec.states import Origin, StudyState, TrialState
from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.studies.create import create_study
from hpsearch.studies.read import get_study, list_trials
from hpsearch.studies.warm_start import preview_warm_start
from tests.studies import Hand, definition, stored

RATE = "optimizer.learning_rate"


def earlier(database: Database, name: str = "earlier", **changes: Any) -> list[dict[str, Any]]:
    """Store a study of five trials, the later the better; return its points, best first."""
    hand = stored(database, name, limits={"max_trials": 5}, **changes)
    for i, trial in enumerate(hand.claim(5)):
        hand.finish(trial, value=0.5 + i / 10)
    return [dict(trial.params) for trial in list_trials(database, name, order_by="value")[0]]


def test_the_best_points_come_first_and_count(database: Database) -> None:
    best = earlier(database)

    hand = stored(
        database, warm_start={"studies": ["earlier"], "top": 2}, limits={"max_trials": 3}
    )
    assert get_study(database, "study").counts.waiting == 2
    claimed = hand.claim(10)

    assert len(claimed) == 3
    trials = list_trials(database, "study")[0]
    assert [trial.params for trial in trials[:2]] == best[:2]
    origins = [Origin.WARM_START, Origin.WARM_START, Origin.SAMPLED]
    assert [trial.origin for trial in trials] == origins
    for trial in claimed:
        hand.finish(trial)
    assert get_study(database, "study").state is StudyState.COMPLETED


def test_waiting_points_are_stored_as_optuna_would_enqueue_them(database: Database) -> None:
    best = earlier(database)
    stored(database, warm_start={"studies": ["earlier"], "top": 1})
    trials, attrs = tables.optuna_trials.c, tables.optuna_system_attrs.c
    with database.read() as tx:
        row = tx.execute(
            select(attrs.key, attrs.value_json, trials.state, trials.datetime_start)
            .join(tables.optuna_trials, trials.trial_id == attrs.trial_id)
            .where(trials.state == "WAITING")
        ).one()
    assert row.key == "fixed_params"
    assert str(best[0][RATE]) in row.value_json
    assert row.datetime_start is None


def test_points_outside_the_space_are_listed_and_left_out(database: Database) -> None:
    best = earlier(database)
    rates = sorted(point[RATE] for point in best)
    narrow = {"name": "sgd", "learning_rate": {"low": rates[2], "high": 1.0, "log": True}}
    raw = definition("narrow", optimizer=narrow, warm_start={"studies": ["earlier"]})

    expected = preview_warm_start(database, raw)
    view, _ = create_study(database, raw)

    assert view.counts.waiting == 3
    assert view.warnings == expected
    assert len(view.warnings) == 2
    assert all("outside the space: optimizer.learning_rate must be" in w for w in view.warnings)


def test_points_of_another_kind_of_space_are_outside(database: Database) -> None:
    earlier(
        database, optimizer={"name": "adam", "learning_rate": 0.1, "beta1": {"choices": [0.9]}}
    )
    raw = definition(warm_start={"studies": ["earlier"], "top": 1})
    (warning,) = preview_warm_start(database, raw)
    assert "trial 4 of earlier" in warning
    assert "optimizer.learning_rate is missing" in warning
    assert "optimizer.beta1 is no parameter" in warning


def test_the_same_point_is_tried_once_and_the_limit_holds(database: Database) -> None:
    earlier(database)
    earlier(database, "twin")  # the same seed draws the same points
    warm_start = {"studies": ["earlier", "twin"]}
    view, _ = create_study(
        database, definition("wide", warm_start=warm_start, limits={"max_trials": 20})
    )
    assert (view.counts.waiting, view.warnings) == (5, ())
    view, _ = create_study(
        database, definition("short", warm_start=warm_start, limits={"max_trials": 2})
    )
    assert view.counts.waiting == 2
    assert "5 points, but limits.max_trials is 2" in view.warnings[0]


def test_trials_that_have_no_value_are_no_points(database: Database) -> None:
    hand = stored(database, "earlier", limits={"max_trials": 5})
    first, _ = hand.claim(2)
    hand.finish(first)
    raw = definition(warm_start={"studies": ["earlier"]})
    view, _ = create_study(database, raw)
    assert view.counts.waiting == 1


def test_studies_that_do_not_exist_are_named(database: Database) -> None:
    earlier(database)
    raw = definition(warm_start={"studies": ["lost", "earlier", "gone"]})
    with pytest.raises(InvalidDefinition) as caught:
        create_study(database, raw)
    locs = [error.loc for error in caught.value.errors]
    assert locs == [("warm_start", "studies", 0), ("warm_start", "studies", 2)]


def test_a_warm_start_of_a_grid_leaves_the_grid_whole(database: Database) -> None:
    finite: dict[str, Any] = {
        "model": {"family": "mlp", "hidden_units": {"choices": [4, 8]}},
        "optimizer": {"name": "sgd", "learning_rate": {"choices": [0.1, 0.2]}},
    }
    earlier(database, **finite)
    warm_start = {"studies": ["earlier"], "top": 1}
    hand: Hand = stored(
        database, **finite, sampler={"name": "grid"}, limits={}, warm_start=warm_start
    )
    for trial in hand.claim(10):
        hand.finish(trial)
    study = get_study(database, "study")
    assert (study.state_reason, study.counts.complete) == ("SEARCH_SPACE_EXHAUSTED", 5)
    assert list_trials(database, "study", state=TrialState.COMPLETE)[0][0].origin == "warm_start"
