"""Settings, shapes and first weights of a perceptron."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from hpsearch.models.initial import InitName
from hpsearch.models.mlp import Mlp


def test_shapes_and_names_are_those_of_the_plain_network() -> None:
    model = Mlp(hidden_units=(500, 300))
    plain = {name: tuple(t.shape) for name, t in model.plain(784, 10).state_dict().items()}
    assert model.shapes(784, 10) == plain
    assert model.n_parameters(784, 10) == 784 * 500 + 500 + 500 * 300 + 300 + 300 * 10 + 10


def test_no_hidden_layer_is_softmax_regression() -> None:
    assert Mlp(hidden_units=()).shapes(64, 10) == {"0.weight": (10, 64), "0.bias": (10,)}


def test_the_depth_follows_from_the_widths() -> None:
    assert Mlp(hidden_units=(8, 4)).hidden_layers == 2
    assert Mlp().hidden_units == (128,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_layers": 2, "hidden_units": [8]},
        {"hidden_layers": 33, "hidden_units": [8] * 33},
        {"hidden_units": [0]},
        {"hidden_units": [65_537]},
        {"activation": "swish"},
        {"init": "magic"},
        {"init": "normal", "init_scale": 0},
        {"init": "normal", "init_scale": 10.5},
        {"init": "he", "init_scale": 0.3},
        {"dropuot": 0.5},
        {"dropout": [1.0]},
        {"dropout": [-0.1]},
        {"hidden_units": [8, 8], "dropout": [0.1]},
        {"batch_norm": "sometimes"},
    ],
)
def test_settings_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Mlp.model_validate(wrong)


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        ("he", np.sqrt(2 / 400)),
        ("he_uniform", np.sqrt(2 / 400)),
        ("xavier", np.sqrt(2 / 600)),
        ("xavier_uniform", np.sqrt(2 / 600)),
        ("normal", 0.3),
        ("uniform", 0.3 / np.sqrt(3)),
        ("orthogonal", np.sqrt(1 / 400)),
    ],
)
def test_first_weights_have_the_deviation_of_their_rule(init: InitName, deviation: float) -> None:
    scale = 0.3 if init in {"normal", "uniform"} else 0.05
    model = Mlp(hidden_units=(200,), init=init, init_scale=scale)
    arrays = model.initial(400, 10, np.random.default_rng(0))
    assert arrays["0.weight"].std() == pytest.approx(deviation, rel=0.02)
    assert abs(arrays["0.weight"].mean()) < deviation / 20
    assert not arrays["0.bias"].any()


@pytest.mark.parametrize("width", [5, 12])
def test_orthogonal_weights_are_orthogonal(width: int) -> None:
    model = Mlp(hidden_units=(width,), init="orthogonal")
    weight = model.initial(8, 3, np.random.default_rng(0))["0.weight"]
    product = weight @ weight.T if width < 8 else weight.T @ weight
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)


def test_batch_norm_has_the_names_and_values_of_the_plain_network() -> None:
    model = Mlp(hidden_units=(7, 5), batch_norm=True, dropout=(0.5, 0.0))
    plain = model.plain(6, 3).state_dict()
    both = {**model.shapes(6, 3), **model.statistics(6, 3)}
    assert both == {name: tuple(tensor.shape) for name, tensor in plain.items()}
    initial = model.initial(6, 3, np.random.default_rng(0))
    assert initial.keys() == plain.keys()
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        np.testing.assert_array_equal(initial[f"1.{name}"], plain[f"1.{name}"].numpy())
    assert model.n_parameters(6, 3) == 6 * 7 + 7 + 2 * 7 + 7 * 5 + 5 + 2 * 5 + 5 * 3 + 3


def test_without_a_rate_no_layer_drops() -> None:
    assert Mlp(hidden_units=(8, 4)).dropout == (0.0, 0.0)
    assert Mlp(hidden_units=()).dropout == ()


def test_a_wider_last_layer_does_not_change_the_first_ones_weights() -> None:
    one, other = (
        Mlp(hidden_units=(7,)).initial(5, n, np.random.default_rng(3))["0.weight"] for n in (2, 9)
    )
    np.testing.assert_array_equal(one, other)


def test_settings_data_and_rules_are_known_without_loading_torch() -> None:
    code = (
        "import sys\n"
        "from hpsearch.datasets.base import REGISTRY as d\n"
        "from hpsearch.models.base import REGISTRY as m\n"
        "from hpsearch.optimizers.base import REGISTRY as o\n"
        "assert {'digits', 'mnist', 'fashion_mnist'} <= set(d)\n"
        "assert 'mlp' in set(m) and {'sgd', 'adam'} <= set(o)\n"
        "[c().info() for c in d.values()], [c() for c in o.values()]\n"
        "m['mlp'](), m['recurrent'](cell='gru')\n"
        "assert not {'torch', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
