"""Our pruners ask indexes, Optuna's walk through all trials: on any history they agree."""

import math
import warnings
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.pruning.base import REGISTRY
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.rungs import KEY
from hpsearch.spec.sections import Direction
from hpsearch.storage.curves import Curve
from hpsearch.storage.held_study import HeldStudy

N_TRIALS, N_EPOCHS, N_STEPS = 40, 27, 600


def patient(wrapped: BasePruner | None, patience: int, min_delta: float = 0.0) -> PatientPruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PatientPruner(wrapped, patience=patience, min_delta=min_delta)


# our epochs count from 1, so Optuna's warm-up is one longer
CASES: dict[str, tuple[dict[str, Any], BasePruner]] = {
    "median": ({"name": "median"}, MedianPruner(5, 1)),
    "median-late": (
        {"name": "median", "n_startup_trials": 0, "n_warmup_steps": 3, "interval_steps": 3},
        MedianPruner(0, 4, 3),
    ),
    "percentile": (
        {"name": "percentile", "percentile": 25.0, "n_startup_trials": 2, "n_min_trials": 4},
        PercentilePruner(25.0, 2, 1, n_min_trials=4),
    ),
    "threshold": (
        {
            "name": "threshold",
            "lower": 0.2,
            "upper": 0.9,
            "n_warmup_steps": 2,
            "interval_steps": 2,
        },
        ThresholdPruner(0.2, 0.9, 3, 2),
    ),
    "successive_halving": (
        {"name": "successive_halving", "reduction_factor": 2},
        SuccessiveHalvingPruner(1, 2),
    ),
    "successive_halving-late": (
        {
            "name": "successive_halving",
            "min_resource": 2,
            "reduction_factor": 3,
            "min_early_stopping_rate": 1,
            "bootstrap_count": 3,
        },
        SuccessiveHalvingPruner(2, 3, 1, 3),
    ),
    "hyperband": ({"name": "hyperband"}, HyperbandPruner(1, N_EPOCHS, 3)),
    "hyperband-2": (
        {"name": "hyperband", "min_resource": 2, "reduction_factor": 2, "bootstrap_count": 1},
        HyperbandPruner(2, N_EPOCHS, 2, 1),
    ),
    "patient": ({"name": "patient", "patience": 1, "min_delta": 0.05}, patient(None, 1, 0.05)),
    "patient-median": (
        {"name": "patient", "patience": 0, "wrapped_pruner": {"name": "median"}},
        patient(MedianPruner(5, 1), 0),
    ),
    "patient-hyperband": (
        {"name": "patient", "patience": 0, "wrapped_pruner": {"name": "hyperband"}},
        patient(HyperbandPruner(1, N_EPOCHS, 3), 0),
    ),
}


class Both:
    """One history, judged by our pruner and by Optuna's, its trials changed at random."""

    def __init__(self, case: str, direction: Direction, seed: int) -> None:
        section, self.theirs = CASES[case]
        self.ours = REGISTRY[section["name"]].model_validate(section)
        self.direction = direction
        self.rng = np.random.default_rng(seed)
        self.view = JudgedStudy("a-study", direction, N_EPOCHS)
        self.trials = {
            number: Curve(100 + number, number, TrialState.RUNNING, {}, {})
            for number in range(N_TRIALS)
        }
        self.view.take(self.trials.values())
        self.n_pruned = 0
        self.levels = self.rng.uniform(0.2, 0.8, N_TRIALS)

    def step(self) -> None:
        """Let one trial report an epoch, end, or go back to where it was before."""
        running = [t for t in self.trials.values() if t.state is TrialState.RUNNING]
        if not running:
            return
        trial = running[self.rng.integers(len(running))]
        fate, last = self.rng.random(), len(trial.values)
        if fate < 0.04:
            self._rewind(trial, int(self.rng.integers(last + 1)))
        elif fate < 0.1 or last == N_EPOCHS:
            self._change(Curve(trial.trial_id, trial.number, TrialState.COMPLETE, trial.values,
                               trial.attrs))  # fmt: skip
        else:
            self._report(trial, last + 1)

    def _rewind(self, trial: Curve, epoch: int) -> None:
        values = {step: value for step, value in trial.values.items() if step <= epoch}
        attrs = {
            key: value
            for key, value in trial.attrs.items()
            if self.ours.written_at(key, trial.number, self.view) <= epoch
        }
        self._change(Curve(trial.trial_id, trial.number, TrialState.RUNNING, values, attrs))

    def _report(self, trial: Curve, epoch: int) -> None:
        value = round(float(self.rng.normal(self.levels[trial.number], 0.1)), 2)  # with ties
        value = float(self.rng.choice([math.nan, math.inf, -math.inf])) if (
            self.rng.random() < 0.03) else value  # fmt: skip
        now = Curve(
            trial.trial_id,
            trial.number,
            TrialState.RUNNING,
            {**trial.values, epoch: value},
            trial.attrs,
        )
        self.trials[trial.number] = now
        is_pruned, attrs = self._theirs(now)
        self.view.record(trial.trial_id, {epoch: value})
        before = self.view.up_to(trial.trial_id, epoch).system_attrs
        verdict = self.ours.judge(self.view, self.view.up_to(trial.trial_id, epoch))
        assert (verdict is not None) == is_pruned
        after = self.view.up_to(trial.trial_id, epoch).system_attrs
        assert {key: after[key] for key in after.keys() - before.keys()} == attrs
        state = TrialState.PRUNED if is_pruned else TrialState.RUNNING
        self.n_pruned += is_pruned
        if is_pruned:
            self.view.end(trial.trial_id, state)
        self.trials[trial.number] = Curve(
            now.trial_id, now.number, state, now.values, {**now.attrs, **attrs}
        )

    def _theirs(self, judged: Curve) -> tuple[bool, dict[str, Any]]:
        held = HeldStudy("a-study", [self.direction], map(_frozen, self.trials.values()))
        study = optuna.load_study(study_name="a-study", storage=held)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nothing but NaN
            is_pruned = self.theirs.prune(study, held.get_trial(judged.trial_id))
        return is_pruned, held.new_attrs(judged.trial_id)

    def _change(self, trial: Curve) -> None:
        self.trials[trial.number] = trial
        self.view.take([trial])


def _frozen(curve: Curve) -> FrozenTrial:
    trial = create_trial(
        state=TrialState.RUNNING,
        intermediate_values=dict(curve.values),
        system_attrs=dict(curve.attrs),
    )
    trial.state, trial.number, trial._trial_id = curve.state, curve.number, curve.trial_id
    return trial


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # inf - inf in a percentile
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("case", CASES)
def test_on_a_random_history_they_agree_about_every_epoch(case: str, direction: Direction) -> None:
    n_pruned = 0
    for seed in range(3):
        both = Both(case, direction, seed)
        for _ in range(N_STEPS):
            both.step()
        n_pruned += both.n_pruned
        if "hyperband" in case or "halving" in case:
            assert any(key.startswith(KEY) for t in both.trials.values() for key in t.attrs)
    assert n_pruned
