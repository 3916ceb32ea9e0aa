"""What every registered sampler promises, asked of all of them on every kind of space."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import InvalidDefinition
from hpsearch.sampling import cma_es
from hpsearch.sampling.base import (
    REGISTRY,
    IndexedSampler,
    ReservedTrial,
    SampledPoint,
    Sampler,
    SampleRequest,
)
from hpsearch.sampling.cma_es import RetoldCmaEs
from hpsearch.sampling.distributions import to_distribution
from hpsearch.spec.definition import Definition
from hpsearch.spec.space import ParameterValue
from tests.studies import definition

RATE = "optimizer.learning_rate"
SPACES: dict[str, dict[str, Any]] = {
    "numbers": {
        "model": {"family": "mlp", "hidden_units": {"low": 4, "high": 64, "log": True}},
        "optimizer": {
            "name": "sgd",
            "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
            "momentum": {"low": 0.0, "high": 0.9, "step": 0.1},
        },
    },
    "finite": {
        "model": {
            "family": "mlp",
            "hidden_units": {"choices": [[8], [16, 8], []]},
            "activation": {"choices": ["relu", "tanh"]},
        },
        "optimizer": {"name": "sgd", "learning_rate": {"low": 0.1, "high": 0.9, "step": 0.1}},
    },
    "conditional": {
        "model": {
            "family": "mlp",
            "hidden_layers": {"low": 0, "high": 2},
            "hidden_units": {"choices": [4, 8]},
        },
        "optimizer": {
            "choices": [
                {"name": "sgd", "learning_rate": {"choices": [0.1, 0.2]}},
                {"name": "adam", "learning_rate": {"choices": [0.1, 0.2]}, "beta1": 0.8},
            ],
            "l2": {"choices": [0, 0.1]},
        },
    },
    "empty": {"model": {"family": "mlp"}, "optimizer": {"name": "sgd"}},
}
REFUSED = {
    ("gp", "conditional"),
    ("cmaes", "conditional"),
    ("qmc", "conditional"),
    ("grid", "numbers"),
}
FIELDS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 4},
    "gp": {"n_startup_trials": 4},
    "cmaes": {"popsize": 4},
    "nsgaii": {"population_size": 4},
}
N_ROUNDS = {"gp": 4}
"""Rounds of two trials until a sampler works from a model; more for those that are quick."""
ACCEPTED = [(name, space) for name in REGISTRY for space in SPACES if (name, space) not in REFUSED]


def study(name: str, space: str, seed: int = 0) -> Definition:
    sampler = {"name": name, **FIELDS.get(name, {})}
    return definition(seed=seed, sampler=sampler, **SPACES[space])


class Player:
    """A study played in memory: asks a sampler, ends trials, remembers what it must."""

    def __init__(self, studied: Definition) -> None:
        assert isinstance(studied.sampler, Sampler)
        self.definition = studied
        self.sampler = studied.sampler
        self.history: list[FrozenTrial] = []
        self.attrs: dict[str, Any] = {}

    def ask(self, numbers: Sequence[int]) -> dict[int, SampledPoint]:
        return self.sampler.sample(
            SampleRequest(
                seed=self.definition.seed,
                space=self.definition.space,
                directions=tuple(o.direction for o in self.definition.objectives),
                trials=tuple(ReservedTrial(1000 + n, n, n) for n in numbers),
                history=lambda: self.history,
                study_attrs=lambda: self.attrs,
            )
        )

    def end(self, points: dict[int, SampledPoint]) -> list[float]:
        values = []
        for number, point in points.items():
            values.append(quality(point.params))
            domains = self.definition.space.domains
            trial = optuna.trial.create_trial(
                state=TrialState.COMPLETE,
                values=[values[-1]] * len(self.definition.objectives),
                params=dict(point.params),
                distributions={name: to_distribution(domains[name]) for name in point.params},
                system_attrs=dict(point.system_attrs),
            )
            trial.number, trial._trial_id = number, 1000 + number
            self.history.append(trial)
            self.attrs = {**point.study_attrs, **self.attrs}
        return values

    def play(self, n_rounds: int, n_lanes: int = 2) -> list[float]:
        """Ask and end in rounds; return the values in order."""
        values = []
        for i in range(n_rounds):
            values += self.end(self.ask(range(i * n_lanes, (i + 1) * n_lanes)))
        return values


def quality(params: Any) -> float:
    """Return how good a point is: best at a learning rate of 0.01 and a momentum of 0.6."""
    rate, momentum = float(params.get(RATE, 0.1)), float(params.get("optimizer.momentum", 0.0))
    return -((math.log10(rate) + 2) ** 2) - 4 * (momentum - 0.6) ** 2


@pytest.mark.parametrize(("name", "space"), ACCEPTED)
def test_every_point_is_inside_the_space(name: str, space: str) -> None:
    player = Player(study(name, space))
    player.play(N_ROUNDS.get(name, 6))
    for trial in player.history:
        player.definition.space.resolve(trial.params)
        assert all(isinstance(value, ParameterValue) for value in trial.params.values())


@pytest.mark.parametrize(("name", "space"), sorted(REFUSED))
def test_a_space_a_sampler_cannot_search_is_refused_with_the_reason(name: str, space: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        study(name, space)
    (error,) = caught.value.errors
    assert error.loc == ("sampler", "name")
    assert name in error.msg


@pytest.mark.parametrize(("name", "space"), ACCEPTED)
def test_the_same_history_gives_the_same_points(name: str, space: str) -> None:
    first, second = Player(study(name, space)), Player(study(name, space))
    first.play(N_ROUNDS.get(name, 5))
    second.play(N_ROUNDS.get(name, 5))
    assert [trial.params for trial in first.history] == [trial.params for trial in second.history]


@pytest.mark.parametrize("name", [n for n in REGISTRY if issubclass(REGISTRY[n], IndexedSampler)])
def test_indexed_points_depend_on_seed_and_index_alone(name: str) -> None:
    space = "finite" if name == "grid" else "numbers"
    player = Player(study(name, space))
    alone = {number: player.ask([number])[number].params for number in (5, 2, 11)}
    player.play(6)
    together = {number: point.params for number, point in player.ask(range(12)).items()}
    assert alone.items() <= together.items()
    assert Player(study(name, space, seed=1)).ask(range(12)) != player.ask(range(12))


@pytest.mark.parametrize("name", REGISTRY)
def test_two_workers_that_know_the_same_do_not_draw_the_same(name: str) -> None:
    player = Player(study(name, "finite" if name == "grid" else "numbers"))
    player.play(N_ROUNDS.get(name, 6))
    drawn = [*player.ask(range(12, 15)).values(), *player.ask(range(15, 18)).values()]
    assert len({str(sorted(point.params.items())) for point in drawn}) == 6


@pytest.mark.parametrize("name", [n for n in REGISTRY if REGISTRY[n].learns])
def test_what_learns_gets_better(name: str) -> None:
    values = Player(study(name, "numbers")).play(9 if name == "gp" else 30)
    quarter = len(values) // 4
    assert np.median(values[-quarter:]) > np.median(values[:quarter]) + 0.3


def test_a_grid_is_every_point_once() -> None:
    for space in ("finite", "conditional", "empty"):
        player = Player(study("grid", space))
        size = player.definition.space.size()
        assert size is not None
        assert player.sampler.n_points(player.definition.space) == size
        points = {str(sorted(p.params.items())) for p in player.ask(range(size)).values()}
        assert len(points) == size
    # 3 architectures x 2 activations x 9 rates; (1 + 2 + 4 widths) x 2 x 2 rates x 2
    assert [study("grid", s).space.size() for s in ("finite", "conditional", "empty")] == [
        54,
        56,
        1,
    ]


@pytest.mark.parametrize("kind", ["sobol", "halton"])
def test_a_sequence_covers_every_range_evenly(kind: str) -> None:
    sampler = {"name": "qmc", "qmc_type": kind}
    player = Player(definition(sampler=sampler, **SPACES["numbers"]))
    rates = [math.log10(float(str(p.params[RATE]))) for p in player.ask(range(16)).values()]
    bins = np.histogram(rates, bins=8, range=(-4, 0))[0]
    # a quasi-random sequence has 2 points in each eighth (Sobol' exactly), random ones have not
    assert bins.min() >= 1
    assert kind != "sobol" or set(bins) == {2}


@pytest.mark.parametrize("flags", [{}, {"use_separable_cma": True}, {"with_margin": True}])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_cmaes_told_again_equals_cmaes_unpickled(flags: dict[str, Any]) -> None:
    def run(sampler: type[optuna.samplers.CmaEsSampler]) -> optuna.Study:
        theirs = optuna.create_study()
        for seed in range(40):
            theirs.sampler = sampler(
                seed=seed, popsize=5, warn_independent_sampling=False, **flags
            )
            trial = theirs.ask()
            x, n = trial.suggest_float("x", -3, 3), trial.suggest_int("n", 0, 9)
            theirs.tell(trial, x**2 + (n - 4) ** 2)
        return theirs

    ours, original = run(RetoldCmaEs), run(optuna.samplers.CmaEsSampler)

    for mine, theirs in zip(ours.trials, original.trials, strict=True):
        # a state that was not asked in between differs in the last digits
        assert mine.params == pytest.approx(theirs.params, rel=1e-6, abs=1e-6)
    keys = {key for trial in ours.trials for key in trial.system_attrs}
    assert keys <= {"cma:generation", "sepcma:generation", "cmawm:generation", "x_for_tell"}


@pytest.mark.parametrize("flags", [{}, {"with_margin": True}])
def test_what_cmaes_remembers_changes_no_point(flags: dict[str, Any]) -> None:
    def points(*, forgets: bool) -> list[Any]:
        sampler = {"name": "cmaes", "popsize": 4, **flags}
        player = Player(definition(sampler=sampler, **SPACES["numbers"]))
        late: dict[int, SampledPoint] = {}
        for i in range(12):
            if forgets:
                cma_es._STATES.clear()
            asked = player.ask(range(4 * i, 4 * i + 4))
            first = min(asked)
            player.end({number: point for number, point in asked.items() if number != first})
            player.end(late)  # a straggler joins a generation that was full without it
            player.history.sort(key=lambda trial: trial.number)
            late = {first: asked[first]}
        return [trial.params for trial in player.history]

    cma_es._STATES.clear()
    assert points(forgets=False) == points(forgets=True)
    assert len(cma_es._STATES) <= cma_es.N_LAST * 16
