from typing import Any

import pytest

from hpsearch.datasets.splits import Splits
from hpsearch.layers.activations import Gelu
from hpsearch.spec.findings import Finding, Severity
from hpsearch.training.losses import SquaredError
from hpsearch.training.preflight.clock import Clock
from hpsearch.training.preflight.gradients import check_gradients
from hpsearch.training.preflight.points import spread_points
from tests.lanes import class_splits, line_splits
from tests.unit.training.preflight.cases import definition, images


def check(splits: Splits, **changes: Any) -> Finding:
    points = spread_points(definition(**changes).space, splits.input_shape)
    return check_gradients(splits, points, seed=0, clock=Clock(60.0, lambda: False))


@pytest.mark.parametrize(
    "splits", [class_splits(), images(), line_splits()], ids=["classes", "images", "targets"]
)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_gradients_of_a_perceptron_are_the_slopes(splits: Splits, batch_norm: bool) -> None:
    model = {
        "family": "mlp",
        "hidden_layers": 2,
        "hidden_units": 24,
        "activation": {"choices": ["relu", "leaky_relu", "tanh", "sigmoid", "gelu"]},
        "batch_norm": batch_norm,
        "dropout": 0.5,
    }
    finding = check(splits, model=model)
    assert finding.severity is Severity.OK
    assert finding.measured is not None
    assert finding.measured < 1e-6


def test_saturated_first_weights_do_not_trouble_the_comparison() -> None:
    model = {"family": "mlp", "hidden_units": 128, "init": "normal", "init_scale": 1.0}
    assert check(images(normalize="none"), model=model).severity is Severity.OK


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_chaotic_recurrent_network_is_not_taken_for_a_wrong_family(activation: str) -> None:
    model = {
        "family": "recurrent",
        "cell": "vanilla",
        "activation": activation,
        "hidden_units": 64,
        "init": "normal",
        "init_scale": 3.0,
    }
    finding = check(images(), model=model)
    assert finding.severity is Severity.OK, finding.message


def test_a_wrong_derivative_is_found_and_names_family_and_parameter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = Gelu.backward
    monkeypatch.setattr(Gelu, "backward", lambda self, d, saved: right(self, d, saved) * 1.01)
    model = {"family": "mlp", "hidden_units": 16, "activation": "gelu"}
    finding = check(class_splits(), model=model)
    assert finding.severity is Severity.WARNING
    assert "of 0." in finding.message, "the layer before the activation"
    assert "family mlp" in finding.message
    assert finding.measured == pytest.approx(0.01, rel=0.5)


def test_a_forgotten_factor_in_the_loss_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = SquaredError.gradient

    def half(self: SquaredError, *args: Any) -> Any:
        d, sums = right(self, *args)
        return d / 2, sums

    monkeypatch.setattr(SquaredError, "gradient", half)
    finding = check(line_splits(), model={"family": "mlp", "hidden_layers": 0})
    assert finding.severity is Severity.WARNING
    assert finding.measured == pytest.approx(0.5, rel=0.05)


def test_networks_too_large_to_compare_are_left_out() -> None:
    finding = check(images(), model={"family": "mlp", "hidden_units": 8192})
    assert finding.severity is Severity.SKIPPED


def test_every_family_of_the_space_is_compared() -> None:
    cells = {"family": "recurrent", "cell": {"choices": ["vanilla", "gru", "lstm"]}}
    model = {
        "hidden_units": 8,
        "choices": [{**cells, "hidden_layers": 2}, {"family": "mlp", "hidden_layers": 1}],
    }
    finding = check(images(), model=model)
    assert finding.severity is Severity.OK, finding
    assert "4 kinds of network" in finding.message
