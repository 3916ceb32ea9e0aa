"""Recurrent networks by our own kernels show what those by torch do, many examples or few."""

import numpy as np
import pytest
import torch

from hpsearch.errors import ShapeError
from hpsearch.layers.activations import activation
from hpsearch.layers.cells import cell as cell_of
from hpsearch.layers.network import Network
from hpsearch.layers.products import Products
from hpsearch.layers.recurrent import Recurrent as TorchRecurrent
from hpsearch.layers.stack import Stack
from hpsearch.models.recurrent import Recurrent
from hpsearch.native.processor import processor

pytestmark = pytest.mark.skipif(processor() is None, reason="no kernels for this processor")

CPU = torch.device("cpu")
STEPS, FEATURES, CLASSES, LANES = 3, 2, 4, 2


def both(cell: str, n_layers: int) -> tuple[Network, Network, Stack]:
    model = Recurrent.model_validate(
        {"cell": cell, "hidden_units": 5, "hidden_layers": n_layers, "steps": STEPS}
    )
    shapes = model.shapes(STEPS * FEATURES, CLASSES)
    weights = Stack(shapes, LANES, dtype=torch.float64, device=CPU)
    for lane in range(LANES):
        rng = np.random.default_rng(lane)
        weights.put(lane, model.initial(STEPS * FEATURES, CLASSES, rng))
    plain = TorchRecurrent(
        shapes,
        cell_of(cell, activation("tanh")),
        Products(is_exact=True),
        n_steps=STEPS,
        n_rows=LANES,
        device=CPU,
    )
    return model.network(shapes, n_rows=LANES, is_exact=True, device=CPU), plain, weights


@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("n_examples", [1, 256, 600])
@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("cell", ["vanilla", "gru", "lstm"])
def test_an_evaluation_shows_outputs_and_extremes(
    cell: str, is_shared: bool, n_examples: int, n_layers: int
) -> None:
    ours, plain, weights = both(cell, n_layers)
    generator = torch.Generator().manual_seed(0)
    shape = (n_examples, STEPS * FEATURES) if is_shared else (LANES, STEPS * FEATURES, n_examples)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        ours.forward(weights.tensors, x), plain.forward(weights.tensors, x), rtol=0, atol=1e-12
    )
    assert len(ours.hidden()) == n_layers
    for found, expected in zip(ours.hidden(), plain.hidden(), strict=True):
        for extreme in (torch.amax, torch.amin):
            torch.testing.assert_close(extreme(found, 2), extreme(expected, 2), rtol=0, atol=1e-12)
        assert found.shape == expected.shape


def test_inputs_that_steps_do_not_divide_are_refused() -> None:
    ours, _, weights = both("gru", 1)
    with pytest.raises(ShapeError, match="3 steps"):
        ours.forward(weights.tensors, torch.zeros(5, 7, dtype=torch.float64))
