"""One trial as plain torch computes it in training, with the same coins where there is dropout."""

import torch
from torch import Tensor, nn

from hpsearch.layers.dropout import Dropout
from hpsearch.layers.sequences import SequenceClassifier
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.spec.config import TrialConfig
from hpsearch.training.seeds import draw_key, step_keys

CPU = torch.device("cpu")


def coins(key: Tensor, width: int, n_columns: int, rate: float) -> Tensor:
    """Return the factors ``[width, columns]`` of one lane alone in a pack of its own width."""
    dropout = Dropout(1, width, CPU)
    dropout.set_rate(0, rate)
    factors = dropout.factors(key[None], n_columns, torch.float64)
    return torch.ones(width, n_columns, dtype=torch.float64) if factors is None else factors[0]


def train_outputs(
    config: TrialConfig, network: nn.Module, x: Tensor, *, seed: int, number: int, step: int
) -> Tensor:
    """Return the outputs ``[batch, outputs]`` of the trial's ``step`` (from 1)."""
    match config.model:
        case Mlp() as model if any(model.dropout):
            keys = _keys(seed, number, step, model.hidden_layers)
            return _perceptron(model, network, x, keys)
        case Recurrent() as model if model.dropout:
            keys = _keys(seed, number, step, model.hidden_layers)
            return _sequence(model, network, x, keys)
    return network(x)  # type: ignore[no-any-return] # modules are untyped


def _keys(seed: int, number: int, step: int, n_layers: int) -> Tensor:
    steps = torch.tensor([step]).numpy()
    return torch.from_numpy(step_keys(draw_key(seed, number), steps, n_layers))[0]


def _perceptron(model: Mlp, network: nn.Module, x: Tensor, keys: Tensor) -> Tensor:
    assert isinstance(network, nn.Sequential)
    layer = 0
    for module in network:
        x = module(x)
        if not isinstance(module, nn.Linear | nn.BatchNorm1d):  # the activation
            x = x * coins(keys[layer], x.shape[1], len(x), model.dropout[layer]).t()
            layer += 1
    return x


def _sequence(model: Recurrent, network: nn.Module, x: Tensor, keys: Tensor) -> Tensor:
    """Run the textbook's equations, so that nothing is compared with itself."""
    assert isinstance(network, SequenceClassifier)
    assert model.steps is not None
    batch = len(x)
    inputs = list(x.view(batch, model.steps, -1).unbind(1))
    for layer in range(model.hidden_layers):
        weights = [
            getattr(network.rnn, f"{name}_l{layer}")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        outputs = _unrolled(model, weights, inputs)
        if layer == model.hidden_layers - 1:
            outputs = outputs[-1:]
        factors = coins(keys[layer], model.hidden_units, len(outputs) * batch, model.dropout)
        parts = torch.split(factors.t(), batch)
        inputs = [h * part for h, part in zip(outputs, parts, strict=True)]
    return network.output(inputs[-1])  # type: ignore[no-any-return] # modules are untyped


def _unrolled(model: Recurrent, weights: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    w_ih, w_hh, b_ih, b_hh = weights
    h = c = inputs[0].new_zeros(len(inputs[0]), model.hidden_units)
    outputs = []
    for x in inputs:
        ax, ah = x @ w_ih.t() + b_ih, h @ w_hh.t() + b_hh
        if model.cell == "vanilla":
            h = (ax + ah).tanh() if model.activation == "tanh" else (ax + ah).relu()
        elif model.cell == "gru":
            (rx, zx, nx), (rh, zh, nh) = ax.chunk(3, 1), ah.chunk(3, 1)
            r, z = (rx + rh).sigmoid(), (zx + zh).sigmoid()
            n = (nx + r * nh).tanh()
            h = (1 - z) * n + z * h
        else:
            i, f, g, o = (ax + ah).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return outputs
