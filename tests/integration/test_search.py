"""Samplers and pruners at work: whole turns on real data."""

import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hpsearch.spec.states import StudyState, TrialState
from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.studies.read import best_trials, get_study, list_trials
from hpsearch.turn import TurnRunner
from tests.studies import opened, stored

DATA: dict[str, Any] = {"dataset": {"name": "digits", "train_fraction": 0.3}}
SPACE: dict[str, Any] = {
    "model": {
        "choices": [
            {"family": "mlp", "label": "one", "hidden_units": {"low": 8, "high": 64, "log": True}},
            {"family": "mlp", "label": "linear", "hidden_layers": 0},
        ]
    },
    "optimizer": {
        "name": "sgd",
        "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
        "momentum": {"low": 0.0, "high": 0.9},
    },
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Callable[[], None]:
    return lambda: turn(database, tmp_path)


def turn(database: Database, folder: Path) -> None:
    runner = TurnRunner(
        database,
        worker="worker-0",
        device="cpu",
        datasets_dir=folder / "datasets",
        artifacts_dir=folder / "artifacts",
        lease_s=30.0,
        turn_s=60.0,
    )
    runner.run(None, lambda: False)


@pytest.fixture
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report each epoch on its own: these are so short that a trial would come as a whole."""
    monkeypatch.setattr("hpsearch.training.run._BOUNDARY_S", 0.0)


@pytest.mark.usefixtures("_every_epoch")
def test_a_conditional_study_with_tpe_and_median_prunes_what_loses(
    database: Database, run: Callable[[], None]
) -> None:
    stored(
        database,
        **DATA,
        **SPACE,
        training={"epochs": 12, "batch_size": 16, "early_stopping": {"patience": 6}},
        sampler={"name": "tpe", "n_startup_trials": 6},
        pruner={"name": "median", "n_startup_trials": 3, "n_warmup_steps": 2},
        limits={"max_trials": 16, "max_concurrent_trials": 2},
        execution={"lanes": 2},
    )
    run()

    study = get_study(database, "study")
    assert (study.state, study.state_reason) == (StudyState.COMPLETED, "MAX_TRIALS")
    assert study.counts.complete + study.counts.pruned == 16
    assert study.counts.pruned >= 2
    pruned = list_trials(database, "study", state=TrialState.PRUNED)[0]
    for trial in pruned:
        assert trial.pruned is not None
        assert trial.pruned.rule == "median"
        assert trial.pruned.epoch > 2
        assert (trial.pruned.value or 0) < (trial.pruned.threshold or 0)
    assert study.usage.saved > 0
    (best,) = best_trials(database, "study")
    assert best.values is not None
    assert (best.values["val_accuracy"] or 0) > 0.8


@pytest.mark.usefixtures("_every_epoch")
def test_a_hyperband_study_prunes_at_the_rungs_of_each_bracket(
    database: Database, run: Callable[[], None]
) -> None:
    stored(
        database,
        **DATA,
        **SPACE,
        training={"epochs": 9, "batch_size": 16},
        pruner={"name": "hyperband"},
        limits={"max_trials": 24, "max_concurrent_trials": 4},
        execution={"lanes": 4},
    )
    run()

    study = get_study(database, "study")
    assert study.state is StudyState.COMPLETED
    trials = list_trials(database, "study")[0]
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    attrs = tables.optuna_system_attrs.c
    query = select(tables.trials.c.number, attrs.key, attrs.value_json).join(
        tables.trials, tables.trials.c.trial_id == attrs.trial_id
    )
    with database.read() as tx:
        rungs = {(row.number, row.key): json.loads(row.value_json) for row in tx.execute(query)}
    for trial in trials:
        bracket = bracket_of(trial.number)
        if trial.pruned is not None:
            rung = {1: 0, 3: 1, 9: 2}[trial.pruned.epoch] - bracket
            assert rungs[trial.number, f"completed_rung_{rung}"] == trial.pruned.value
    # of three brackets one begins to prune at epoch 1, one at 3, one at 9
    assert {trial.pruned.epoch for trial in trials if trial.pruned} >= {1}


def bracket_of(number: int) -> int:
    """Return the bracket of a trial as the paper and Optuna have it, for 9 epochs and factor 3."""
    place = zlib.crc32(f"study_{number}".encode()) % (9 + 5 + 3)
    return 0 if place < 9 else 1 if place < 14 else 2


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("gp", {"n_startup_trials": 4}),
        ("cmaes", {}),
        ("qmc", {}),
        ("nsgaii", {"population_size": 4}),
    ],
)
def test_every_other_sampler_takes_a_study_to_its_end(
    sqlite_url: str, tmp_path: Path, name: str, fields: dict[str, Any]
) -> None:
    two = [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]
    with opened(sqlite_url) as database:
        stored(
            database,
            **DATA,
            training={"epochs": 2, "batch_size": 32},
            sampler={"name": name, **fields},
            objectives=two[: 1 + (name in {"gp", "nsgaii"})],
            limits={"max_trials": 8, "max_concurrent_trials": 2},
        )
        turn(database, tmp_path)
        study = get_study(database, "study")
        assert (study.state, study.counts.complete) == (StudyState.COMPLETED, 8)
        assert best_trials(database, "study")


def test_a_grid_ends_by_itself(sqlite_url: str, tmp_path: Path) -> None:
    with opened(sqlite_url) as database:
        stored(
            database,
            **DATA,
            model={"family": "mlp", "hidden_units": {"choices": [8, 16]}},
            optimizer={"name": "sgd", "learning_rate": {"choices": [0.01, 0.1, 1.0]}},
            training={"epochs": 2},
            sampler={"name": "grid"},
            limits={},
        )
        turn(database, tmp_path)
        study = get_study(database, "study")
        assert (study.state, study.counts.complete) == (StudyState.COMPLETED, 6)
        assert study.state_reason == "SEARCH_SPACE_EXHAUSTED"
