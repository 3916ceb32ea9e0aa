"""Defaults and bounds of the update rules are those of the contract."""

import numpy as np
import pytest
from pydantic import ValidationError

from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.base import REGISTRY

RATES = {
    "sgd": 0.01,
    "adam": 1e-3,
    "adamw": 1e-3,
    "rmsprop": 0.01,
    "adagrad": 0.01,
    "adamax": 2e-3,
}


@pytest.mark.parametrize(("name", "rate"), RATES.items())
def test_defaults_are_torchs(name: str, rate: float) -> None:
    settings = REGISTRY[name]()
    assert settings.name == name
    assert settings.learning_rate == rate
    assert (settings.l1, settings.l2, settings.gradient_clip_norm) == (0, 0, None)
    if name != "sgd":
        assert settings.eps == (1e-10 if name == "adagrad" else 1e-8)


@pytest.mark.parametrize("name", sorted(RATES))
@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0},
        {"learning_rate": 1001},
        {"learning_rate": float("nan")},
        {"l1": -1},
        {"l2": 1001},
        {"gradient_clip_norm": 0},
        {"momentun": 0.9},
    ],
)
def test_settings_out_of_bounds_are_refused(name: str, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        REGISTRY[name].model_validate(wrong)


@pytest.mark.parametrize("name", sorted(set(RATES) - {"adamw"}))
def test_decoupled_decay_is_adamws_alone(name: str) -> None:
    with pytest.raises(ValidationError):
        REGISTRY[name].model_validate({"weight_decay": 0.1})
    assert REGISTRY["adamw"]().weight_decay == 0.01


def test_coefficients_are_computed_in_double_precision() -> None:
    c = Adam().coefficients(np.full(1, 1e-3), np.array([1]))
    assert c["new2"][0] == 1 - 0.999
    assert c["step_size"][0] == 1e-3 / (1 - 0.9)
