"""The preflight in a study's first turn, on real data, in this process."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.datasets.base import Arrays
from hpsearch.datasets.digits import Digits
from hpsearch.errors import ServiceDown
from hpsearch.session import preflight as first_turn
from hpsearch.spec.findings import Severity
from hpsearch.spec.states import StudyState
from hpsearch.spec.views import StudyView
from hpsearch.storage.database import Database
from hpsearch.studies.read import get_study, list_trials, study_epochs
from hpsearch.turn import TurnRunner
from tests.studies import opened, past_preflight, stored

SMALL: dict[str, Any] = {
    "dataset": {"name": "digits", "train_fraction": 0.5},
    "model": {"family": "mlp", "hidden_units": {"low": 8, "high": 64, "log": True}},
    "optimizer": {"name": "adam", "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
    "training": {"epochs": 2, "batch_size": 64},
    "limits": {"max_trials": 2},
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    with opened(sqlite_url) as database:
        yield database


@pytest.fixture
def take_a_turn(database: Database, tmp_path: Path) -> Callable[..., Any]:
    def turn(interrupted: Callable[[], bool] = lambda: False, name: str = "study") -> StudyView:
        runner = TurnRunner(
            database,
            worker="worker-0",
            device="cpu",
            datasets_dir=tmp_path / "datasets",
            artifacts_dir=tmp_path / "artifacts",
            lease_s=30.0,
            turn_s=60.0,
        )
        runner.run(None, interrupted)
        return get_study(database, name)

    return turn


def results(database: Database, name: str) -> list[Any]:
    """Return everything a user would compare."""
    curves = [
        (view.number, view.epoch, {k: v for k, v in view.metrics.items() if k != "seconds"})
        for view in study_epochs(database, name)
    ]
    return [curves, [(t.params, t.values, t.test) for t in list_trials(database, name)[0]]]


def test_a_sound_study_is_checked_once_in_little_time_and_told_nothing(
    database: Database, take_a_turn: Callable[..., Any]
) -> None:
    stored(database, **SMALL)

    study = take_a_turn()

    assert study.state is StudyState.COMPLETED
    assert study.warnings == ()
    assert study.preflight is not None
    assert {finding.severity for finding in study.preflight.findings} == {Severity.OK}
    assert 0 < study.preflight.device_seconds < 5
    assert study.usage.device_seconds == pytest.approx(study.usage.completed)


def test_results_are_the_same_with_and_without_it(
    database: Database, take_a_turn: Callable[..., Any]
) -> None:
    stored(database, "unchecked", **SMALL)
    past_preflight(database, "unchecked")
    take_a_turn(name="unchecked")
    stored(database, **SMALL)
    take_a_turn()

    assert results(database, "study") == results(database, "unchecked")


def test_the_classic_first_weights_are_warned_of_and_the_study_runs(
    database: Database, take_a_turn: Callable[..., Any]
) -> None:
    stored(database, **{**SMALL, "model": {"family": "mlp", "init": "normal", "init_scale": 1.0}})

    study = take_a_turn()

    assert study.state is StudyState.COMPLETED
    assert any(
        w.startswith("preflight, initial_loss:") and "model.init_scale" in w
        for w in study.warnings
    )


def test_data_of_one_class_fails_the_study_before_a_trial(
    database: Database, take_a_turn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Digits.load

    def one_class(self: Digits, folder: Path) -> Arrays:
        arrays = load(self, folder)
        return Arrays(arrays.x_train, np.full_like(arrays.y_train, 3), 10)

    monkeypatch.setattr(Digits, "load", one_class)
    stored(database, **SMALL)

    study = take_a_turn()

    assert (study.state, study.state_reason) == (StudyState.FAILED, "DATASET")
    assert "every training example is of class 3" in study.warnings[-1]
    assert list_trials(database, "study")[0] == []


def test_a_preflight_that_breaks_costs_the_study_nothing(
    database: Database, take_a_turn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no preflight")

    monkeypatch.setattr(first_turn, "preflight", broken)
    stored(database, **SMALL)

    study = take_a_turn()

    assert (study.state, study.counts.complete) == (StudyState.COMPLETED, 2)
    assert study.preflight is not None
    assert "could not run: ZeroDivisionError: no preflight" in study.preflight.findings[0].message


def test_a_database_that_goes_away_meanwhile_costs_the_study_nothing(
    database: Database, take_a_turn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise ServiceDown("database", "away")

    monkeypatch.setattr(first_turn, "record_preflight", away)
    stored(database, **SMALL)

    assert take_a_turn().counts.complete == 2


def test_an_interrupted_preflight_is_run_by_the_next_turn(
    database: Database, take_a_turn: Callable[..., Any]
) -> None:
    stored(database, **SMALL)
    asked = itertools.count()

    first = take_a_turn(lambda: next(asked) >= 2)
    second = take_a_turn()

    assert (first.preflight, first.counts.waiting) == (None, 0)
    assert second.preflight is not None
    assert second.counts.complete == 2


def test_another_worker_trains_meanwhile(
    database: Database, take_a_turn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_turn, "begin_preflight", lambda *_: False)  # somebody is at it
    stored(database, **SMALL)

    study = take_a_turn()

    assert (study.preflight, study.counts.complete) == (None, 2)
