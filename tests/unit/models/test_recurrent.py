"""Settings, shapes and first weights of recurrent networks."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from hpsearch.layers import affine
from hpsearch.models.recurrent import Recurrent
from hpsearch.native.processor import Processor


def recurrent(cell: str = "gru", **settings: Any) -> Recurrent:
    return Recurrent.model_validate({"cell": cell, "steps": 28, **settings})


@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("cell", ["vanilla", "gru", "lstm"])
def test_shapes_and_names_are_those_of_the_plain_network(cell: str, n_layers: int) -> None:
    model = recurrent(cell, hidden_units=20, hidden_layers=n_layers)
    plain = {name: tuple(t.shape) for name, t in model.plain(784, 10).state_dict().items()}
    assert model.shapes(784, 10) == plain


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (28, 3)])
def test_steps_are_the_first_axis_of_the_examples_unless_given(shape: tuple[int, ...]) -> None:
    assert Recurrent(cell="gru").fitted(shape).steps == 28
    assert Recurrent(cell="gru", steps=14).fitted(shape).steps == 14


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"cell": "rnn"},
        {"cell": "gru", "activation": "relu"},
        {"cell": "vanilla", "activation": "gelu"},
        {"cell": "gru", "hidden_layers": 0},
        {"cell": "gru", "hidden_layers": 9},
        {"cell": "gru", "steps": 0},
        {"cell": "gru", "dropout": 1.0},
        {"cell": "gru", "init_scale": 0.3},
        {"cell": "gru", "batch_norm": True},
    ],
)
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Recurrent.model_validate(wrong)


@pytest.mark.parametrize(("cell", "n_gates"), [("vanilla", 1), ("gru", 3), ("lstm", 4)])
def test_every_gate_begins_orthogonal_and_the_lstm_forgets_little(cell: str, n_gates: int) -> None:
    arrays = recurrent(cell, hidden_units=16).initial(784, 10, np.random.default_rng(0))
    for gate in np.split(arrays["rnn.weight_hh_l0"], n_gates):
        np.testing.assert_allclose(gate @ gate.T, np.eye(16), atol=1e-12)
    total = arrays["rnn.bias_ih_l0"] + arrays["rnn.bias_hh_l0"]
    forget = np.zeros(16 * n_gates)
    if cell == "lstm":
        forget[16:32] = 1
    np.testing.assert_array_equal(total, forget)


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        ("he", np.sqrt(2 / 200)),
        ("he_uniform", np.sqrt(2 / 200)),
        ("xavier", np.sqrt(1 / 200)),
        ("xavier_uniform", np.sqrt(1 / 200)),
        ("normal", 0.3),
        ("uniform", 0.3 / np.sqrt(3)),
        ("orthogonal", np.sqrt(1 / 200)),
    ],
)
def test_init_is_of_the_recurrent_weights_alone(init: str, deviation: float) -> None:
    scale = {"init_scale": 0.3} if init in {"normal", "uniform"} else {}
    model = recurrent("gru", hidden_units=200, init=init, **scale)
    arrays = model.initial(28 * 100, 10, np.random.default_rng(0))
    assert arrays["rnn.weight_hh_l0"].std() == pytest.approx(deviation, rel=0.02)
    glorot = np.sqrt(2 / 300)  # of a gate: 100 inputs, 200 units
    assert arrays["rnn.weight_ih_l0"].std() == pytest.approx(glorot, rel=0.02)


def test_only_the_last_step_decides() -> None:
    import torch

    model = recurrent("vanilla", hidden_units=3, steps=4)
    plain = model.plain(8, 2)
    x = torch.randn(1, 8)
    with torch.no_grad():
        h = torch.zeros(1, 3)
        rnn = dict(plain.named_parameters())
        for row in x.view(4, 2):
            z = rnn["rnn.weight_ih_l0"] @ row + rnn["rnn.weight_hh_l0"] @ h[0]
            h = (z + rnn["rnn.bias_ih_l0"] + rnn["rnn.bias_hh_l0"]).tanh()[None]
        expected = h @ rnn["output.weight"].t() + rnn["output.bias"]
        torch.testing.assert_close(plain(x), expected)


@pytest.mark.parametrize(("has_tiles", "most"), [(True, 1), (False, 4)])
def test_one_lane_at_a_time_pays_only_where_torch_may_run_it(
    has_tiles: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Processor(
        vector_bytes=64,
        n_registers=32,
        has_pairs=True,
        has_tiles=has_tiles,
        name="kind",
        features="",
    )
    monkeypatch.setattr(affine, "processor", lambda: here)
    assert Recurrent(cell="lstm", hidden_units=64, steps=4).most_lanes_on_cpu() == most
