"""Hidden units that say nothing, counted while a split is evaluated."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hpsearch.layers.stack import Stack
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.training.diagnosis import Watch
from hpsearch.training.engine import Engine
from tests.lanes import LOWEST_LOSS, class_splits, play, trial

CPU = torch.device("cpu")
WIDTH, STEPS, FEATURES = 7, 3, 4
X = torch.randn(9, STEPS * FEATURES, generator=torch.Generator().manual_seed(3)).double()


def n_stuck(outputs: Tensor) -> int:
    """Return how many of the units ``[examples, units]`` are stuck at one end of tanh."""
    return int(((outputs > 0.99).all(0) | (outputs < -0.99).all(0)).sum())


@pytest.mark.usefixtures("cell_way")
@pytest.mark.parametrize(
    ("cell", "cell_way"),
    [(cell, way) for cell in ("vanilla", "gru", "lstm") for way in ("native", "fused")]
    + [(cell, "alone") for cell in ("gru", "lstm")],
    indirect=["cell_way"],
)
def test_recurrent_units_stuck_at_an_end_are_dead(cell: str) -> None:
    model = Recurrent.model_validate(
        {"cell": cell, "hidden_units": WIDTH, "hidden_layers": 2, "steps": STEPS}
    )
    shapes = model.shapes(X.shape[1], 2)
    lanes = [model.initial(X.shape[1], 2, np.random.default_rng(lane)) for lane in range(2)]
    # first lane: gates wide open; the state is at an end from the first step, but for some units
    for layer in range(2):
        bias = lanes[0][f"rnn.bias_ih_l{layer}"].reshape(-1, WIDTH)
        bias[:, : 4 - layer] = 30.0
        if cell == "gru":
            bias[1, : 4 - layer] = -30.0  # the second gate keeps the old state
        bias[-1 if cell != "lstm" else 2, 0] = -30.0 if cell != "lstm" else 30.0
    weights = Stack(shapes, 2, dtype=torch.float64, device=CPU)
    for row, arrays in enumerate(lanes):
        weights.put(row, arrays)
    network = model.network(shapes, n_rows=2, is_exact=True, device=CPU)
    watch = Watch(network)
    for part in (X[:5], X[5:]):
        watch(network.forward(weights.tensors, part), torch.zeros(len(part)))
    expected = []
    for arrays in lanes:
        first = model.model_copy(update={"hidden_layers": 1}).plain(X.shape[1], 2).double()
        both = model.plain(X.shape[1], 2).double()
        for plain in (first, both):
            state = {n: torch.from_numpy(arrays[n]) for n in plain.state_dict()}
            plain.load_state_dict(state)
        sequence = X.view(len(X), STEPS, FEATURES).transpose(0, 1)
        below, last = (_rnn(plain)(sequence)[0].detach() for plain in (first, both))
        expected.append(n_stuck(below.reshape(-1, WIDTH)) + n_stuck(last[-1]))
    assert watch.dead() == expected
    assert expected[1] == 0
    assert expected[0] > 0 or cell == "lstm"  # its memory grows step by step
    assert network.n_hidden(shapes) == 2 * WIDTH


def _rnn(plain: nn.Module) -> nn.RNNBase:
    rnn = plain.rnn
    assert isinstance(rnn, nn.RNNBase)
    return rnn


@pytest.mark.parametrize(("activation", "far"), [("tanh", 6.0), ("sigmoid", 9.0)])
def test_units_at_a_flat_end_are_dead_though_their_outputs_differ(
    activation: str, far: float
) -> None:
    model = Mlp.model_validate({"hidden_units": (3,), "activation": activation})
    shapes = model.shapes(2, 2)
    network = model.network(shapes, n_rows=1, is_exact=True, device=CPU)
    weights = [torch.ones(1, *shape).reshape(1, shape[0], -1) for shape in shapes.values()]
    weights[1][0, :, 0] = torch.tensor([0.0, far, -far])  # the last two far out
    watch = Watch(network)
    watch(network.forward(weights, X[:, :2].float()), torch.zeros(len(X)))
    (outputs,) = network.hidden()
    assert (outputs.amax(2) - outputs.amin(2) > 1e-5).all()
    assert watch.dead() == [2]


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("cell", ["vanilla", "gru", "lstm"])
def test_every_recurrent_trial_reports_its_dead_units(cell: str, precision: str) -> None:
    models = [
        Recurrent.model_validate({"cell": cell, "hidden_units": width, "steps": 4})
        for width in (16, 15)
    ]
    stuck = models[0].model_copy(update={"init": "normal", "init_scale": 10.0})
    engine = Engine(
        class_splits(),
        LOWEST_LOSS,
        1,
        lanes=3,
        precision="fast" if precision == "fast" else "exact",
        dtype=torch.float64,
    )
    caller = play(engine, [trial(model=model, epochs=1) for model in (*models, stuck)])
    dead = [caller.epochs[n][0].metrics["dead_units"] for n in range(3)]
    assert dead[:2] == [0.0, 0.0]  # padding is not counted
    assert 0.0 <= dead[2] <= 1.0
