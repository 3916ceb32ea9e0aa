import math
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.datasets.splits import Splits
from hpsearch.models.initial import draw_weight
from hpsearch.spec.findings import Finding, Severity
from hpsearch.training.packing import model_of
from hpsearch.training.preflight import initial
from hpsearch.training.preflight.clock import Clock
from hpsearch.training.preflight.initial import (
    Starts,
    check_layers,
    check_loss,
    check_penalty,
    start_networks,
)
from hpsearch.training.preflight.points import spread_points
from hpsearch.training.seeds import initial_generator
from tests.lanes import class_splits, line_splits
from tests.unit.training.preflight.cases import definition, images, table

# the first weights of definition 1 of the contract: N(0, 1) on pixels from 0 to 1
CLASSIC = {
    "family": "mlp",
    "hidden_layers": {"low": 1, "high": 2},
    "hidden_units": {"choices": [128, 256]},
    "init": "normal",
    "init_scale": 1.0,
}
ONE_LAYER = {"family": "mlp", "hidden_units": 64}


def starts(splits: Splits, **changes: Any) -> Starts:
    space = definition(**changes).space
    points = spread_points(space, splits.input_shape)
    return start_networks(splits, points, seed=0, clock=Clock(60.0, lambda: False))


def layers(splits: Splits, **model: Any) -> Finding:
    return check_layers(starts(splits, model={**ONE_LAYER, **model}))


@pytest.mark.parametrize(
    "splits", [class_splits(), images(), line_splits()], ids=["classes", "images", "targets"]
)
def test_a_sound_space_starts_where_guessing_ends(splits: Splits) -> None:
    found = starts(splits)
    for finding in (check_loss(found), check_penalty(found), check_layers(found)):
        assert finding is not None
        assert finding.severity is Severity.OK, finding


def test_what_guessing_reaches_is_log_c_or_the_variance() -> None:
    assert starts(images()).guess == pytest.approx(math.log(10))
    assert starts(line_splits()).guess == 1.0


def test_weights_from_a_wide_normal_start_far_off_and_a_better_scale_is_named() -> None:
    finding = check_loss(starts(images(normalize="none"), model=CLASSIC))
    assert finding.severity is Severity.WARNING
    assert finding.measured is not None
    assert finding.measured > 50
    assert "model.init_scale 1 is too large for 784 inputs; use about 0.051" in finding.message
    assert "log(10) = 2.30" in finding.message


def test_the_scale_that_is_recommended_is_all_right() -> None:
    model = {**CLASSIC, "init_scale": 0.051}
    finding = check_loss(starts(images(normalize="none"), model=model))
    assert finding.severity is Severity.OK


def test_inputs_in_thousands_are_told_to_be_normalised() -> None:
    rng = np.random.default_rng(0)
    x, y = 4000 + 900 * rng.standard_normal((400, 5)), np.arange(400) % 4
    finding = check_loss(starts(table(x, y, 4, normalize="none")))
    assert finding.severity is Severity.WARNING
    assert "dataset.normalize: standard" in finding.message
    assert check_loss(starts(table(x, y, 4))).severity is Severity.OK


def test_a_loss_that_is_never_finite_is_a_warning_and_says_what_to_change() -> None:
    rng = np.random.default_rng(0)
    x = 1e38 * rng.standard_normal((400, 5)).clip(-3, 3)
    model = {**ONE_LAYER, "activation": "relu"}
    splits = table(x, np.arange(400) % 4, 4, normalize="none")
    finding = check_loss(starts(splits, model=model))
    assert finding.severity is Severity.WARNING, "points not looked at may be fine"
    assert "dataset.normalize: standard" in finding.message
    assert finding.measured is None


def test_a_corner_of_a_wide_range_is_no_warning() -> None:
    model = {**ONE_LAYER, "init": "normal", "init_scale": {"low": 1e-3, "high": 1, "log": True}}
    finding = check_loss(starts(images(), model=model))
    assert finding.severity is Severity.OK
    assert "above 4.8 at" in finding.message


def test_a_penalty_that_outweighs_the_data_names_its_upper_end() -> None:
    optimizer = {"name": "sgd", "l2": {"low": 1e-2, "high": 100, "log": True}}
    finding = check_penalty(starts(images(), optimizer=optimizer))
    assert finding is not None
    assert finding.severity is Severity.WARNING
    assert "upper end of optimizer.l2" in finding.message


def test_the_penalty_is_that_of_the_loss() -> None:
    optimizer = {"name": "sgd", "l1": 0.25, "l2": 0.5}
    found = starts(
        class_splits(), model={"family": "mlp", "hidden_layers": 0}, optimizer=optimizer
    )
    start = found.all[0]
    rng = initial_generator(0, 0)
    weights = model_of(start.point.config).initial(12, 4, rng)["0.weight"]
    assert start.penalty == pytest.approx(
        0.25 * np.abs(weights).sum() + 0.25 * (weights**2).sum(), rel=1e-5
    )


def test_a_space_without_penalties_has_no_such_finding() -> None:
    assert check_penalty(starts(class_splits(), optimizer={"name": "adam"})) is None


def test_weights_that_are_all_zero_are_not_penalised_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zeros = lambda init, n_out, n_in, scale, rng: np.zeros((n_out, n_in))  # noqa: E731
    monkeypatch.setattr("hpsearch.models.mlp.draw_weight", zeros)
    finding = check_penalty(starts(class_splits()))
    assert finding is not None
    assert finding.severity is Severity.WARNING
    assert "not above the plain one" in finding.message


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_saturated_units_are_named_with_their_layer(activation: str) -> None:
    finding = layers(
        images(), activation=activation, hidden_units=[32, 16], init="normal", init_scale=3.0
    )
    assert finding.severity is Severity.WARNING
    assert f"hidden layer 1 ({activation}, 32 units) is saturated" in finding.message
    assert "model.init_scale of about" in finding.message


def test_dead_units_are_named_with_their_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(init: Any, n_out: int, n_in: int, scale: float, rng: Any) -> Any:
        weights = draw_weight(init, n_out, n_in, scale, rng)
        return -abs(weights) if (n_out, n_in) == (16, 32) else weights

    monkeypatch.setattr("hpsearch.models.mlp.draw_weight", draw)
    finding = layers(images(), hidden_units=[32, 16])
    assert finding.severity is Severity.WARNING
    assert "100% of the units of hidden layer 2 (relu, 16 units) are dead" in finding.message
    assert finding.measured == 1.0


def test_a_signal_that_fades_is_told_with_the_layer_it_is_lost_in() -> None:
    finding = layers(images(), activation="sigmoid", hidden_layers=10)
    assert finding.severity is Severity.WARNING
    assert "too faint" in finding.message
    assert "model.activation: relu" in finding.message


def test_linear_models_have_no_layers_to_look_at() -> None:
    finding = layers(images(), hidden_layers=0)
    assert finding.severity is Severity.SKIPPED


def test_batch_norm_keeps_wide_weights_in_range() -> None:
    model = {**CLASSIC, "batch_norm": True, "activation": "tanh"}
    finding = check_layers(starts(images(), model=model))
    assert finding.severity is Severity.OK


def test_looking_leaves_torchs_random_numbers_alone() -> None:
    before = torch.random.get_rng_state()
    starts(class_splits())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_networks_too_large_to_draw_in_time_are_left_out() -> None:
    model = {"family": "mlp", "hidden_units": 65_536}
    assert starts(images(), model=model).all == ()


def test_fewer_examples_tell_of_a_network_that_takes_long_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = {"family": "mlp", "hidden_units": 128}  # 101,770 weights
    monkeypatch.setattr(initial, "MAX_WORK", 2e6)
    found = starts(images(), model=model)
    assert check_loss(found).severity is Severity.OK
    assert check_layers(found).severity is Severity.OK
    monkeypatch.setattr(initial, "MAX_WORK", 1e6)
    assert starts(images(), model=model).all == (), "nine examples say little"
