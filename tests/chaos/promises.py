"""What must hold when a study has ended, whatever died meanwhile; read from the tables."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from hpsearch.catalog import installed_catalog
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.states import AttemptState, StudyState
from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.studies.read import get_study
from tests.studies import document

SMALL = 6
LARGE = 12  # seconds of training, for faults at random moments


def chaos_document(name: str, max_trials: int = SMALL) -> dict[str, Any]:
    """Return the study chaos tests run; two of the same size come to the same, bit by bit."""
    epochs = {"low": 3, "high": 8} if max_trials == SMALL else {"low": 30, "high": 90}
    return document(
        name,
        seed=11,
        dataset={"name": "digits", "train_fraction": 0.3},
        training={"epochs": epochs, "batch_size": 32},
        limits={"max_trials": max_trials, "max_attempts": 10},
    )


def chaos_study(name: str, max_trials: int = SMALL) -> Definition:
    """Return :func:`chaos_document` parsed."""
    return parse_definition(chaos_document(name, max_trials), installed_catalog())


@dataclass(frozen=True)
class Outcome:
    """What a trial came to, to the last bit."""

    state: str
    values: tuple[float, ...]
    test: dict[str, float] | None
    params: dict[str, float]
    curve: dict[int, dict[str, float]]


def outcomes(database: Database, name: str) -> dict[int, Outcome]:
    """Return the outcome of every trial by number."""
    values: dict[int, list[float]] = defaultdict(list)
    params: dict[int, dict[str, float]] = defaultdict(dict)
    curves: dict[int, dict[int, dict[str, float]]] = defaultdict(dict)
    optuna, ours = tables.optuna_trials.c, tables.trials.c
    with database.read() as tx:
        study_id = _study_id(tx, name)
        trials = tx.execute(
            select(optuna.trial_id, optuna.number, optuna.state, ours.test)
            .join(tables.trials, ours.trial_id == optuna.trial_id)
            .where(optuna.study_id == study_id)
        ).all()
        for row in tx.execute(select(tables.optuna_values).order_by("objective")):
            values[row.trial_id].append(row.value)
        for row in tx.execute(select(tables.optuna_params)):
            params[row.trial_id][row.param_name] = row.param_value
        for row in tx.execute(select(tables.epochs)):
            metrics = dict(row.metrics)
            del metrics["seconds"]  # what it took is no result
            curves[row.trial_id][row.epoch] = metrics
    return {
        row.number: Outcome(
            row.state.name,
            tuple(values[row.trial_id]),
            row.test,
            params[row.trial_id],
            curves[row.trial_id],
        )
        for row in trials
    }


def broken_promises(database: Database, name: str, undisturbed: dict[int, Outcome]) -> list[str]:
    """Return every promise that does not hold for a study that should have ended."""
    study, n = get_study(database, name), len(undisturbed)
    broken = []
    if (study.state, study.state_reason) != (StudyState.COMPLETED, "MAX_TRIALS"):
        broken.append(f"it is {study.state}, {study.state_reason}: {study.counts}")
    found = outcomes(database, name)
    if sorted(found) != list(range(n)):
        broken.append(f"its trials are {sorted(found)}")
    for number, expected in undisturbed.items():
        outcome = found.get(number)
        if outcome != expected:
            broken.append(f"trial {number}: {_difference(outcome, expected)}")
    with database.read() as tx:
        study_id = _study_id(tx, name)
        counted = [row.is_counted for row in _rows(tx, tables.trials, study_id)]
        attempts = _rows(tx, tables.attempts, study_id)
        steps = tx.execute(
            select(tables.optuna_intermediate.c.trial_id, tables.optuna_intermediate.c.step)
            .join(tables.trials, tables.trials.c.trial_id == tables.optuna_intermediate.c.trial_id)
            .where(tables.trials.c.study_id == study_id)
        ).all()
        recorded = [(row.trial_id, row.epoch) for row in _rows(tx, tables.epochs, study_id)]
    if counted != [True] * n:
        broken.append(f"{counted.count(True)} of {len(counted)} trials count")
    if sorted(map(tuple, steps)) != sorted(recorded):
        broken.append("Optuna's steps are not the recorded epochs, once each")
    won = Counter(row.trial_number for row in attempts if row.state == AttemptState.SUCCEEDED)
    results = [number for number, outcome in undisturbed.items() if outcome.state != "FAIL"]
    if won != Counter(results):
        broken.append(f"attempts that succeeded, by trial: {dict(won)}")
    if any(row.state == AttemptState.RUNNING for row in attempts):
        broken.append("an attempt still runs")
    for number in range(n):
        tries = sorted(row.number for row in attempts if row.trial_number == number)
        if tries != list(range(1, len(tries) + 1)):
            broken.append(f"the attempts of trial {number} are {tries}")
    return broken


def attempt_states(database: Database, name: str) -> Counter[str]:
    """Return how many attempts a study has, by state."""
    with database.read() as tx:
        rows = _rows(tx, tables.attempts, _study_id(tx, name))
    return Counter(str(row.state) for row in rows)


def _rows(tx: Any, table: Any, study_id: int) -> list[Any]:
    return list(tx.execute(select(table).where(table.c.study_id == study_id)))


def _study_id(tx: Any, name: str) -> int:
    query = select(tables.studies.c.study_id).where(tables.studies.c.name == name)
    return int(tx.execute(query).scalar_one())


def _difference(found: Outcome | None, expected: Outcome) -> str:
    if found is None:
        return "missing"
    if sorted(found.curve) != sorted(expected.curve):
        return f"epochs {sorted(found.curve)} instead of {sorted(expected.curve)}"
    different = [
        (epoch, name, found.curve[epoch].get(name), value)
        for epoch, row in expected.curve.items()
        for name, value in row.items()
        if found.curve[epoch].get(name) != value
    ][:5]
    facts = ["state", "values", "test", "params"]
    unequal = [
        f"{fact} {getattr(found, fact)} instead of {getattr(expected, fact)}"
        for fact in facts
        if getattr(found, fact) != getattr(expected, fact)
    ]
    return f"{'; '.join(unequal)} curve (epoch, metric, found, expected): {different}"
