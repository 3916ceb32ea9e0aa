"""Every argument of Optuna's samplers is a setting, ours to choose, or left alone for a reason."""

import inspect
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler

from hpsearch.sampling.base import REGISTRY
from hpsearch.sampling.optuna_sampler import OptunaSampler

OPTUNAS: dict[str, type[BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "gp": optuna.samplers.GPSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
}
NO_CONSTRAINTS = {"constraints_func"}  # there is nothing in a definition to constrain
DEPRECATED = {
    *("consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints"),
    *("gamma", "weights", "warn_independent_sampling"),
}
REMOVED = {"restart_strategy", "inc_popsize"}  # without effect since Optuna 4.4
LEFT_ALONE = {
    "tpe": DEPRECATED | NO_CONSTRAINTS,
    "gp": NO_CONSTRAINTS | {"independent_sampler"},  # random, with our seed
    # random with our seed for choices; the middle of the space, a sixth of it; no other study
    "cmaes": {"independent_sampler", "x0", "sigma0", "source_trials", *REMOVED},
    "nsgaii": NO_CONSTRAINTS
    | {"elite_population_selection_strategy", "child_generation_strategy"}
    | {"after_trial_strategy"},  # its own, with the arguments that we choose
}


@pytest.mark.parametrize("name", OPTUNAS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_no_default_of_optunas_is_taken_unseen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    original = OPTUNAS[name].__init__

    def note(self: BaseSampler, **arguments: Any) -> None:
        given.update(arguments)
        original(self, **arguments)

    known = set(inspect.signature(original).parameters) - {"self"}
    monkeypatch.setattr(OPTUNAS[name], "__init__", note)
    sampler = REGISTRY[name]()
    assert isinstance(sampler, OptunaSampler)

    sampler.build(7, is_conditional=False)

    assert given.keys() & LEFT_ALONE[name] == set()
    assert given.keys() | LEFT_ALONE[name] == known
    assert given["seed"] == 7


def test_every_sampler_that_optuna_brings_is_looked_at() -> None:
    assert {name for name in REGISTRY if issubclass(REGISTRY[name], OptunaSampler)} == set(OPTUNAS)
