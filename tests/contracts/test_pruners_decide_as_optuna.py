"""Every pruner decides through our reports as Optuna's own does in ``study.ask`` and ``tell``."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)

from hpsearch.pruning.base import REGISTRY
from hpsearch.spec.states import TrialState
from hpsearch.storage.database import Database
from hpsearch.storage.studies import get_study
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.compiled import compiled
from hpsearch.studies.judged import judged_study
from hpsearch.studies.read import list_trials
from hpsearch.studies.report import Verdict, report
from tests.studies import ended, epochs_of, opened, stored

N_TRIALS, N_EPOCHS, N_WORKERS, N_LANES = 30, 9, 2, 3
Decisions = dict[int, int]
"""At which epoch each pruned trial was pruned."""


@dataclass(frozen=True)
class Case:
    """A pruner as a definition writes it and as Optuna makes it.

    Attributes:
        ours: The section.
        theirs: Optuna's pruner.
        first_step: What Optuna calls our first epoch: 0 as everywhere, or 1 for pruners that
            count epochs as a resource.
    """

    ours: dict[str, Any]
    theirs: BasePruner
    first_step: int = 0


def patient(wrapped: BasePruner | None, patience: int, min_delta: float) -> PatientPruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PatientPruner(wrapped, patience=patience, min_delta=min_delta)


CASES = {
    "none": Case({"name": "none"}, NopPruner()),
    "median": Case({"name": "median"}, MedianPruner()),
    "median-late": Case(
        {"name": "median", "n_startup_trials": 2, "n_warmup_steps": 3, "interval_steps": 2},
        MedianPruner(n_startup_trials=2, n_warmup_steps=3, interval_steps=2),
    ),
    "percentile": Case(
        {"name": "percentile", "percentile": 25, "n_startup_trials": 1, "n_min_trials": 4},
        PercentilePruner(25, n_startup_trials=1, n_min_trials=4),
    ),
    "threshold": Case(
        {"name": "threshold", "lower": 0.35, "upper": 0.75, "n_warmup_steps": 2},
        ThresholdPruner(lower=0.35, upper=0.75, n_warmup_steps=2),
    ),
    "successive_halving": Case(
        {"name": "successive_halving", "reduction_factor": 2},
        SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        first_step=1,
    ),
    "successive_halving-late": Case(
        {
            "name": "successive_halving",
            "min_resource": 2,
            "reduction_factor": 2,
            "min_early_stopping_rate": 1,
            "bootstrap_count": 3,
        },
        SuccessiveHalvingPruner(
            min_resource=2, reduction_factor=2, min_early_stopping_rate=1, bootstrap_count=3
        ),
        first_step=1,
    ),
    "hyperband": Case(
        {"name": "hyperband"},
        HyperbandPruner(min_resource=1, max_resource=N_EPOCHS, reduction_factor=3),
        first_step=1,
    ),
    "patient": Case({"name": "patient", "patience": 1}, patient(None, 1, 0.0)),
    "patient-median": Case(
        {
            "name": "patient",
            "patience": 2,
            "min_delta": 0.01,
            "wrapped_pruner": {"name": "median", "n_startup_trials": 3},
        },
        patient(MedianPruner(n_startup_trials=3), 2, 0.01),
    ),
    "patient-hyperband": Case(
        {"name": "patient", "patience": 0, "wrapped_pruner": {"name": "hyperband"}},
        patient(HyperbandPruner(min_resource=1, max_resource=N_EPOCHS), 0, 0.0),
        first_step=1,
    ),
}


@dataclass(frozen=True)
class Curve:
    """What one trial will report until it ends by itself."""

    values: tuple[float, ...]


def curves(seed: int) -> list[Curve]:
    """Return learning curves that cross each other; some end early."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(N_TRIALS):
        n_epochs = int(rng.choice([N_EPOCHS, N_EPOCHS, N_EPOCHS, 4, 6]))
        ceiling, speed = rng.uniform(0.3, 0.9), rng.uniform(0.2, 1.5)
        clean = ceiling * (1 - np.exp(-speed * np.arange(1, n_epochs + 1)))
        made.append(Curve(tuple(np.clip(clean + rng.normal(0, 0.04, n_epochs), 0, 1).tolist())))
    return made


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    with opened(sqlite_url) as database:
        yield database


def decide_ours(database: Database, case: Case, lines: list[Curve], metric: str) -> Decisions:
    """Play the curves through claims and reports of two workers, each with its own view."""
    hand = stored(
        database,
        "same-name",
        pruner=case.ours,
        objectives=[{"metric": metric}, {"metric": "n_parameters"}][: 1 + (metric == "val_loss")],
        training={"epochs": N_EPOCHS},
        limits={"max_trials": N_TRIALS},
    )
    with database.read() as tx:
        study = get_study(tx, "same-name")
    views = [judged_study(compiled(study), study.study_id) for _ in range(N_WORKERS)]
    lanes: list[dict[int, ClaimedTrial]] = [{} for _ in range(N_WORKERS)]
    epochs: dict[int, int] = {}
    decisions: Decisions = {}
    while len(epochs) < N_TRIALS or any(lanes):
        for live, view in zip(lanes, views, strict=True):
            for trial in hand.claim(N_LANES - len(live)):
                live[trial.number] = trial
                epochs[trial.number] = 0
            reports = []
            for number, trial in sorted(live.items()):
                epochs[number] += 1
                values = lines[number].values
                value, is_last = values[epochs[number] - 1], epochs[number] == len(values)
                make = ended(trial, value, epochs[number]) if is_last else None
                reports.append(make or epochs_of(trial, {epochs[number]: value}))
            verdicts = report(database, hand.uuid, reports, lease_s=30, judged=view)
            for number, decision in verdicts.items():
                if decision.verdict is Verdict.PRUNED:
                    assert decision.pruned is not None
                    decisions[number] = decision.pruned.epoch
                    assert decision.pruned.epoch == epochs[number]
                if decision.verdict is not Verdict.CONTINUE:
                    del live[number]
    return decisions


def decide_theirs(case: Case, lines: list[Curve], metric: str) -> Decisions:
    """Play the same through Optuna's API, in the same order."""
    study = optuna.create_study(
        study_name="same-name",
        direction="maximize" if metric == "val_accuracy" else "minimize",
        pruner=case.theirs,
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    lanes: list[dict[int, optuna.Trial]] = [{} for _ in range(N_WORKERS)]
    epochs: dict[int, int] = {}
    decisions: Decisions = {}
    is_rung = case.first_step == 1
    while len(epochs) < N_TRIALS or any(lanes):
        for live in lanes:
            while len(live) < N_LANES and len(epochs) < N_TRIALS:
                asked = study.ask()
                live[asked.number], epochs[asked.number] = asked, 0
            for number, trial in sorted(live.items()):
                value = lines[number].values[epochs[number]]
                value = value if metric == "val_accuracy" else 1.0 - value
                trial.report(value, epochs[number] + case.first_step)
                epochs[number] += 1
            done = [n for n in sorted(live) if epochs[n] == len(lines[n].values)]
            if not is_rung:  # what has ended counts for those judged in the same report
                for number in done:
                    study.tell(live.pop(number), 0.5)
            for number, trial in sorted(live.items()):
                if trial.should_prune() and number not in done:
                    decisions[number] = epochs[number]
                    study.tell(live.pop(number), state=optuna.trial.TrialState.PRUNED)
            for number in set(done) & live.keys():
                study.tell(live.pop(number), 0.5)
    return decisions


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_trials_are_pruned_at_the_same_epochs(
    database: Database, name: str, metric: str
) -> None:
    lines = curves(seed=len(name))

    ours = decide_ours(database, CASES[name], lines, metric)

    assert ours == decide_theirs(CASES[name], lines, metric)
    assert bool(ours) == (name != "none")
    shown = {t.number: t.pruned for t in list_trials(database, "same-name")[0] if t.pruned}
    assert {number: pruned.epoch for number, pruned in shown.items()} == ours
    pruned = list_trials(database, "same-name", state="PRUNED")[0]
    assert {trial.number for trial in pruned} == set(ours)
    assert all(trial.state is TrialState.PRUNED for trial in pruned)


def test_every_registered_pruner_is_compared() -> None:
    assert {case.ours["name"] for case in CASES.values()} == set(REGISTRY)
