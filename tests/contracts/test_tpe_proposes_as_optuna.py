"""Below the size of its memory, our TPE proposes what Optuna's does, to the last bit."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from hpsearch.sampling.base import ReservedTrial, Sampler, SampleRequest
from hpsearch.sampling.optuna_sampler import trial_seed
from hpsearch.sampling.quick_tpe import QuickTpe, log_gauss_mass
from hpsearch.spec.definition import Definition
from hpsearch.spec.space import CategoricalDomain, FloatDomain, IntDomain, ParameterValue
from tests.studies import definition

N_ROUNDS, N_LANES, N_EPOCHS = 22, 3, 9
PLAIN: dict[str, Any] = {
    "model": {
        "family": "mlp",
        "hidden_units": {"low": 4, "high": 64, "log": True},
        "activation": {"choices": ["relu", "tanh", "sigmoid"]},
    },
    "optimizer": {
        "name": "sgd",
        "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
        "momentum": {"low": 0.0, "high": 0.9, "step": 0.1},
        "l2": {"low": 0.0, "high": 0.1},
    },
}
BRANCHES: dict[str, Any] = {
    "model": {
        "family": "mlp",
        "hidden_layers": {"low": 0, "high": 2},
        "hidden_units": {"low": 4, "high": 64, "step": 4},
    },
    "optimizer": {
        "choices": [
            {"name": "sgd", "learning_rate": {"low": 1e-3, "high": 1.0, "log": True}},
            {"name": "adam", "learning_rate": {"low": 1e-4, "high": 0.1, "log": True}},
        ],
    },
}
TWO = [{"metric": "val_loss"}, {"metric": "n_parameters"}]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "defaults": ({}, {}, PLAIN),
    "branches": ({}, {"group": True}, BRANCHES),
    "one by one": ({"multivariate": False}, {"multivariate": False}, PLAIN),
    "no liar": ({"constant_liar": False}, {"constant_liar": False, "group": True}, BRANCHES),
    "ungrouped": ({"group": False}, {"group": False}, BRANCHES),
    "two objectives": ({}, {}, PLAIN | {"objectives": TWO}),
    "hyperband": ({}, {}, PLAIN | {"pruner": {"name": "hyperband"}}),
}


def quality(params: Mapping[str, Any]) -> float:
    return sum(
        math.cos(i + float(value)) if isinstance(value, int | float) else len(str(value))
        for i, (_, value) in enumerate(sorted(params.items()))
    )


def outcome(number: int, params: Mapping[str, Any], n_objectives: int) -> tuple[Any, list[float]]:
    """Return how a trial ends: every fifth fails, every fourth is pruned."""
    values = [quality(params) + i * number % 7 for i in range(n_objectives)]
    if number % 5 == 3:
        return TrialState.FAIL, []
    if number % 4 == 2 and n_objectives == 1:
        return TrialState.PRUNED, values
    return TrialState.COMPLETE, values


class Ours:
    """A study in memory, asked through our sampler."""

    def __init__(self, studied: Definition) -> None:
        assert isinstance(studied.sampler, Sampler)
        self.definition, self.sampler = studied, studied.sampler
        self.trials: list[FrozenTrial] = []

    def ask(self, numbers: range) -> list[dict[str, ParameterValue]]:
        points = self.sampler.sample(
            SampleRequest(
                seed=self.definition.seed,
                space=self.definition.space,
                directions=tuple(o.direction for o in self.definition.objectives),
                trials=tuple(ReservedTrial(n, n, n) for n in numbers),
                history=lambda: self.trials,
            )
        )
        return [dict(points[number].params) for number in numbers]


class Theirs:
    """The same study in Optuna alone; its trials are what ours learns from."""

    def __init__(self, studied: Definition, arguments: dict[str, Any], pruner: BasePruner) -> None:
        self.definition, self.arguments = studied, arguments
        self.study = optuna.create_study(
            directions=[o.direction.value for o in studied.objectives], pruner=pruner
        )
        self.live: list[optuna.Trial] = []

    def ask(self, numbers: range) -> list[dict[str, ParameterValue]]:
        for number in numbers:
            seed = trial_seed(self.definition.seed, number)
            self.study.sampler = optuna.samplers.TPESampler(seed=seed, **self.arguments)
            trial = self.study.ask()
            assert trial.number == number

            def suggest(name: str, domain: Any, trial: optuna.Trial = trial) -> ParameterValue:
                if isinstance(domain, CategoricalDomain):
                    chosen: ParameterValue = trial.suggest_categorical(name, domain.choices)
                    return chosen
                limits = {"step": domain.step, "log": domain.log}
                if isinstance(domain, IntDomain):
                    return trial.suggest_int(name, domain.low, domain.high, **limits)
                assert isinstance(domain, FloatDomain)
                return trial.suggest_float(name, domain.low, domain.high, **limits)

            self.definition.space.suggest(suggest)
            self.live.append(trial)
        return [dict(trial.params) for trial in self.live[-len(numbers) :]]

    def end_but(self, n_left: int) -> None:
        """End all but the newest trials."""
        while len(self.live) > n_left:
            trial = self.live.pop(0)
            n = len(self.study.directions)
            state, values = outcome(trial.number, trial.params, n)
            if n == 1 and values:
                for epoch in range(1, 2 + trial.number % N_EPOCHS):
                    trial.report(values[0], epoch)
            is_complete = state is TrialState.COMPLETE
            self.study.tell(trial, values if is_complete else None, state=state)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_same_trials_lead_to_the_same_proposals(case: str) -> None:
    fields, arguments, changes = CASES[case]
    changes = {"training": {"epochs": N_EPOCHS}, **changes}
    studied = definition(seed=5, sampler={"name": "tpe", **fields}, **changes)
    pruner = HyperbandPruner(max_resource=N_EPOCHS) if case == "hyperband" else NopPruner()
    defaults = {"multivariate": True, "group": False}
    theirs = Theirs(studied, defaults | arguments, pruner)
    ours = Ours(studied)
    n_modelled = 0
    for i in range(N_ROUNDS):
        numbers = range(i * N_LANES, (i + 1) * N_LANES)
        # as our database has it: a trial that still runs has told what was drawn for it
        ours.trials = theirs.study.get_trials()
        expected = theirs.ask(numbers)
        assert ours.ask(numbers) == expected
        theirs.end_but(n_left=1)
        n_modelled += len(theirs.study.get_trials(states=[TrialState.COMPLETE])) > 10
    assert n_modelled > N_ROUNDS // 2


def test_masses_of_the_normal_distribution_are_optunas() -> None:
    from optuna.samplers._tpe import _truncnorm

    rng = np.random.default_rng(0)
    for scale in (0.01, 1.0, 30.0):
        low = rng.normal(0, scale, 2000)
        high = low + rng.exponential(scale, 2000)
        expected = _truncnorm._log_gauss_mass(low, high)
        np.testing.assert_allclose(log_gauss_mass(low, high), expected, rtol=1e-9, atol=1e-12)


def test_densities_are_optunas() -> None:
    from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
    from optuna.samplers._tpe.sampler import default_weights

    sampler = QuickTpe(seed=0)
    kind = sampler._parzen_estimator_cls
    space = {
        "x": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True),
        "y": optuna.distributions.FloatDistribution(-1.0, 1.0),
        "n": optuna.distributions.IntDistribution(1, 300, log=True),
        "m": optuna.distributions.IntDistribution(0, 9),
        "s": optuna.distributions.FloatDistribution(0.0, 1.0, step=0.25),
        "c": optuna.distributions.CategoricalDistribution(["a", "b", "c"]),
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen: dict[str, list[float]] = {name: [] for name in space}
    for _ in range(60):
        trial = study.ask(space)
        for name, distribution in space.items():
            seen[name].append(distribution.to_internal_repr(trial.params[name]))
    observed = {name: np.asarray(values) for name, values in seen.items()}
    parameters = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)

    ours, theirs = (made(observed, space, parameters) for made in (kind, _ParzenEstimator))

    points = theirs.sample(np.random.RandomState(0), 50)
    np.testing.assert_allclose(ours.log_pdf(points), theirs.log_pdf(points), rtol=1e-9)
