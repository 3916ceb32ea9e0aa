"""The same story told through Optuna's API and through our verbs leaves the same rows."""

import math
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial
from sqlalchemy import Table, select

from hpsearch.spec.space import FloatDomain, IntDomain, ParameterValue
from hpsearch.spec.states import FailureKind, TrialState
from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.storage.history import History
from hpsearch.storage.outline import Outline
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.read import list_trials
from hpsearch.studies.recover import worker_lost
from hpsearch.studies.report import Ending, TrialReport
from tests.studies import Hand, definition, ended, epochs_of, opened, stored

CURVES: tuple[dict[int, float], ...] = (
    {1: 0.1, 2: float("inf"), 3: 0.5},
    {1: 0.2},
    {1: 0.3, 2: float("nan")},
    {},
)
SPACE = {
    "model": {
        "family": "mlp",
        "hidden_layers": {"low": 1, "high": 3},
        "hidden_units": {"low": 8, "high": 64, "step": 8},
        "activation": {"choices": ["relu", "tanh"]},
    },
    "optimizer": {
        "choices": [
            {"name": "sgd", "learning_rate": {"low": 1e-4, "high": 1.0, "log": True}},
            {"name": "adam", "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}},
        ],
        "l2": {"choices": [0, 1e-4]},
    },
}


class Replay(BaseSampler):
    """Proposes given values."""

    def __init__(self, params: dict[str, ParameterValue]) -> None:
        self.params = params

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        return self.params[param_name]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def play_ours(hand: Hand) -> None:
    claimed = hand.claim(4)
    for trial, curve in zip(claimed, CURVES, strict=True):
        for epoch, value in curve.items():
            hand.report(epochs_of(trial, {epoch: value}))
    hand.report(_end(claimed[0], 0.1, best_epoch=1))
    failure = (FailureKind.DIVERGED, "nan")
    hand.report(
        TrialReport(2, claimed[2].token, {}, 1.0, end=Ending(TrialState.FAIL, failure=failure))
    )


def _end(trial: ClaimedTrial, value: float, best_epoch: int) -> TrialReport:
    message = ended(trial, value)
    return TrialReport(trial.number, trial.token, {}, 1.0, 10, message.end)


def play_optuna(database: Database, points: list[dict[str, ParameterValue]]) -> None:
    storage = optuna.storages.RDBStorage(
        database.url.render_as_string(hide_password=False), skip_table_creation=True
    )
    study = optuna.create_study(study_name="theirs", storage=storage, direction="maximize")
    space = definition("any", **SPACE).space
    for number, (point, curve) in enumerate(zip(points, CURVES, strict=True)):
        study.sampler = Replay(point)
        trial = study.ask()

        def suggest(name: str, domain: Any, trial: optuna.Trial = trial) -> ParameterValue:
            low_high = {"low": domain.low, "high": domain.high} if hasattr(domain, "low") else {}
            if isinstance(domain, FloatDomain):
                return trial.suggest_float(name, **low_high, log=domain.log, step=domain.step)
            if isinstance(domain, IntDomain):
                return trial.suggest_int(name, **low_high, log=domain.log, step=domain.step)
            value: ParameterValue = trial.suggest_categorical(name, domain.choices)
            return value

        space.suggest(suggest)
        for step, value in curve.items():
            trial.report(value, step)
        if number == 0:
            study.tell(trial, 0.1)
        elif number == 2:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    storage.remove_session()
    storage.engine.dispose()


def dump(database: Database, name: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of one study with ids replaced by trial numbers."""
    with database.read() as tx:
        study_id = tx.execute(
            select(tables.optuna_studies.c.study_id).where(
                tables.optuna_studies.c.study_name == name
            )
        ).scalar_one()
        trials = tx.execute(
            select(tables.optuna_trials).where(tables.optuna_trials.c.study_id == study_id)
        ).all()
        number = {row.trial_id: row.number for row in trials}

        def rows(table: Table) -> list[tuple[Any, ...]]:
            found = tx.execute(
                select(table).where(table.c.trial_id.in_(number)).order_by(*table.primary_key)
            ).mappings()
            keys = [c.name for c in table.c if not c.primary_key and c.name != "trial_id"]
            listed = [(number[row["trial_id"]], *(str(row[k]) for k in keys)) for row in found]
            return sorted(listed, key=lambda row: row[0])  # stable: keeps the order of insertion

        directions = tx.execute(
            select(
                tables.optuna_directions.c.objective, tables.optuna_directions.c.direction
            ).where(tables.optuna_directions.c.study_id == study_id)
        ).all()
        return {
            "directions": [tuple(row) for row in directions],
            "trials": sorted(
                (
                    row.number,
                    row.state.name,
                    row.datetime_start is None,
                    row.datetime_complete is None,
                )
                for row in trials
            ),
            **{table.name: rows(table) for table in tables.TRIAL_CHILDREN},
        }


def test_rows_equal_those_optuna_writes(database: Database) -> None:
    play_ours(stored(database, "ours", **SPACE))
    points = [dict(trial.params) for trial in list_trials(database, "ours")[0]]
    play_optuna(database, points)

    ours, theirs = dump(database, "ours"), dump(database, "theirs")

    assert ours["trial_params"]
    assert ours["trial_intermediate_values"]
    assert ours == theirs


def test_optuna_reads_the_study_with_no_help(database: Database) -> None:
    play_ours(stored(database, "ours", **SPACE))
    storage = optuna.storages.RDBStorage(
        database.url.render_as_string(hide_password=False), skip_table_creation=True
    )
    study = optuna.load_study(study_name="ours", storage=storage)

    trials = study.get_trials()

    assert [trial.state.name for trial in trials] == ["COMPLETE", "RUNNING", "FAIL", "RUNNING"]
    assert study.best_trial.number == 0
    assert study.best_value == 0.1
    assert trials[0].intermediate_values == CURVES[0]
    shown = [dict(trial.params) for trial in list_trials(database, "ours")[0]]
    assert [trial.params for trial in trials] == shown
    storage.remove_session()
    storage.engine.dispose()


def test_the_incremental_history_equals_a_full_load(database: Database) -> None:
    hand = stored(database, "ours", **SPACE)
    with database.read() as tx:
        study_id = tx.execute(select(tables.studies.c.study_id)).scalar_one()
    history = History(study_id)

    def refreshed() -> list[FrozenTrial]:
        with database.read() as tx:
            history.refresh(tx)
        return history.trials

    refreshed()
    play_ours(hand)
    refreshed()
    worker_lost(database, "worker-0")
    again = hand.claim(1)[0]
    hand.report(epochs_of(again, {1: 0.7}))

    storage = optuna.storages.RDBStorage(
        database.url.render_as_string(hide_password=False), skip_table_creation=True
    )
    full = optuna.load_study(study_name="ours", storage=storage).get_trials()
    assert list(map(repr, refreshed())) == list(map(repr, full))
    storage.remove_session()
    storage.engine.dispose()


def test_the_outline_and_its_whole_trials_equal_a_full_load(database: Database) -> None:
    hand = stored(database, "ours", **SPACE)
    with database.read() as tx:
        study_id = tx.execute(select(tables.studies.c.study_id)).scalar_one()
    outline, begun = Outline(study_id, 1), []

    def check(numbers: set[int]) -> None:
        with database.read() as tx:
            everything = History(study_id)
            everything.refresh(tx)
            outline.refresh(tx)
            whole = outline.whole(tx, numbers)
        theirs = everything.trials
        assert whole == [trial for trial in theirs if trial.number in numbers]
        assert outline.states.tolist() == [trial.state for trial in theirs]
        assert outline.epochs.tolist() == [trial.last_step or 0 for trial in theirs]
        values = [trial.values[0] if trial.values else None for trial in theirs]
        known = [None if math.isnan(value) else value for value in outline.values[:, 0]]
        assert known == values

    check(set())
    begun += hand.claim(2)
    check({0, 1})
    hand.report(epochs_of(begun[0], {1: 0.5}), ended(begun[1], 0.7))
    check({1})
    check({0, 1})  # read again: nothing has changed since, but it was not kept
    begun += hand.claim(2)
    hand.report(ended(begun[0], 0.9, 2))
    check({0, 2, 3})
    worker_lost(database, "worker-0")  # trials go back to WAITING
    check({0, 1, 2, 3})
