"""What a definition is told about its sampler: refused, or allowed but strange."""

from typing import Any

import pytest

from hpsearch.errors import InvalidDefinition
from tests.studies import definition

LAYERS: dict[str, Any] = {
    "model": {
        "family": "mlp",
        "hidden_layers": {"low": 1, "high": 3},
        "hidden_units": {"low": 4, "high": 8},
    }
}
TWO = [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]


def told(sampler: str, **changes: Any) -> tuple[str, ...]:
    return definition(sampler={"name": sampler}, **changes).warnings


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "nsgaii"])
def test_a_sampler_that_learns_is_not_to_be_outrun(name: str) -> None:
    (warning,) = told(name, limits={"max_trials": 40, "max_concurrent_trials": 11})
    assert warning.startswith("limits: with 11 of 40 trials at once")
    assert "max_concurrent_trials: 10" in warning
    assert told(name, limits={"max_trials": 40, "max_concurrent_trials": 10}) == ()


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_a_sampler_that_does_not_learn_may_be_outrun(name: str) -> None:
    assert told(name, limits={"max_trials": 40, "max_concurrent_trials": 40}) == ()


def test_parameters_a_sampler_can_only_draw_at_random_are_named() -> None:
    (warning,) = told("nsgaii", **LAYERS, objectives=TWO)
    assert "nsgaii breeds only" in warning
    model = {"family": "mlp", "activation": {"choices": ["relu", "tanh"]}}
    (warning,) = told("cmaes", model=model)
    assert warning == "sampler: cmaes moves numbers only; drawn at random: model.activation"


def test_everything_a_sampler_cannot_do_is_said_at_once() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        definition(sampler={"name": "cmaes", "popsize": 1}, **LAYERS, objectives=TWO)
    assert [error.loc for error in caught.value.errors] == [("sampler", "popsize")]
    with pytest.raises(InvalidDefinition) as caught:
        definition(sampler={"name": "cmaes"}, **LAYERS, objectives=TWO, limits={})
    locs = [error.loc for error in caught.value.errors]
    assert sorted(locs) == [("limits",), ("sampler", "name"), ("sampler", "name")]


def test_a_grid_needs_no_limit_but_an_end() -> None:
    finite = {"name": "sgd", "learning_rate": {"low": 0.1, "high": 0.3, "step": 0.1}}
    model = {"family": "mlp", "hidden_units": {"choices": [8, 16]}}
    parsed = definition(sampler={"name": "grid"}, model=model, optimizer=finite, limits={})
    assert parsed.space.size() == 6
    with pytest.raises(InvalidDefinition) as caught:
        definition(sampler={"name": "grid"}, model=model, limits={})
    (error,) = caught.value.errors
    assert error.loc == ("sampler", "name")
    assert "optimizer.learning_rate can take any value; give a step or choices" in error.msg
