"""Recurrent layers over lanes: all lanes in every product, differentiated by hand.

What the inputs contribute to the gates is one product over all steps; only what the last output
contributes has to wait for it. Sequences are matrices with a column for each (step, example).
"""

import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from hpsearch.layers.cells import Cell, State
from hpsearch.layers.dropout import Dropout
from hpsearch.layers.linear import linear, linear_backward
from hpsearch.layers.network import Network
from hpsearch.layers.products import Products
from hpsearch.layers.sequences import steps_first
from hpsearch.layers.stack import Shapes

_PARAMETERS = 4  # of a layer: weight_ih, weight_hh, bias_ih, bias_hh


class _Layer:
    """One recurrent layer: its pass over the steps, and the pass back."""

    def __init__(self, cell: Cell, products: Products, n_steps: int) -> None:
        self._cell, self._products, self._n_steps = cell, products, n_steps
        self._saved: list[State] = []
        self._input = self._before = torch.empty(0)
        self._rooms: dict[str, Tensor] = {}

    def step(self, parameters: Sequence[Tensor], ax: Tensor, state: State) -> tuple[State, State]:
        """Return the next state, and what the way back needs."""
        _, weight, _, bias = parameters
        ah = self._products.forward(weight, state[0])
        if self._cell.has_own_recurrent_bias:
            ah.add_(bias)
        return self._cell.forward(ax, ah, state)

    def contribution(
        self, parameters: Sequence[Tensor], x: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """Return what inputs contribute to the gates, ``[lanes, gates, columns]``."""
        weight, _, bias, recurrent = parameters
        if not self._cell.has_own_recurrent_bias:
            bias = bias + recurrent
        return self._products.forward(weight, x, out).add_(bias)

    def beginning(self, parameters: Sequence[Tensor], batch: int) -> State:
        """Return the state before the first step."""
        weight = parameters[1]
        zeros = weight.new_zeros((weight.shape[0], weight.shape[2], batch))
        return (zeros,) * self._cell.n_states

    def forward(self, parameters: Sequence[Tensor], x: Tensor, *, is_last: bool) -> Tensor:
        """Return the outputs of all steps ``[lanes, hidden, steps · batch]``, or the last one.

        Args:
            parameters: Of this layer.
            x: Inputs of all steps.
            is_last: Whether only the last step's output is wanted.
        """
        n_lanes, n_rows, width = parameters[1].shape
        n_columns = x.shape[0 if x.dim() == 2 else 2]
        room = self._room("ax", x, (n_lanes, n_rows, n_columns))
        ax = self.contribution(parameters, x, room)
        batch = n_columns // self._n_steps
        state = self.beginning(parameters, batch)
        # dense memory: products of parts of a matrix may round by where the part stands
        before = self._room("before", x, (n_lanes, width, n_columns))
        outputs = None if is_last else self._room("outputs", x, before.shape)
        self._saved = []
        for step in range(self._n_steps):
            columns = slice(step * batch, (step + 1) * batch)
            before[:, :, columns].copy_(state[0])
            state, saved = self.step(parameters, ax[:, :, columns], state)
            self._saved.append(saved)
            if outputs is not None:
                outputs[:, :, columns].copy_(state[0])
        self._input, self._before = x, before
        return state[0] if outputs is None else outputs

    def backward(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        d: Tensor,
        *,
        is_first: bool,
    ) -> tuple[list[Tensor], Tensor | None]:
        """Return the gradients, and that of the input (None of the first layer).

        Args:
            parameters: Of this layer.
            gradients: Of this layer.
            d: Gradient of the outputs of all steps, or of the last one alone.
            is_first: Whether nothing stands before this layer.
        """
        n_columns = self._before.shape[2]
        batch = n_columns // self._n_steps
        has_all = d.shape[2] == n_columns
        shape = (d.shape[0], parameters[0].shape[1], n_columns)
        d_ax = self._room("d_ax", d, shape)
        d_ah = self._room("d_ah", d, shape) if self._cell.has_own_recurrent_bias else d_ax
        zeros = d.new_zeros((d.shape[0], d.shape[1], batch))
        dh, rest = zeros, (zeros,) * (self._cell.n_states - 1)
        for step in reversed(range(self._n_steps)):
            at = step * batch
            if has_all:
                dh = dh + d[:, :, at : at + batch]
            elif step == self._n_steps - 1:
                dh = d
            for_ax, for_ah, before = self._cell.backward((dh, *rest), self._saved[step])
            d_ax[:, :, at : at + batch].copy_(for_ax)
            if self._cell.has_own_recurrent_bias:
                d_ah[:, :, at : at + batch].copy_(for_ah)
            dh = self._products.input_gradient(parameters[1], for_ah)
            dh, rest = self._through(dh, before)
        # gradients are written apart, also where two are equal: they are scaled in place later
        weight = self._products.weight_gradient(d_ax, self._input, gradients[0])
        recurrent = self._products.weight_gradient(d_ah, self._before, gradients[1])
        torch.sum(d_ax, 2, keepdim=True, out=gradients[2])
        if self._cell.has_own_recurrent_bias:
            torch.sum(d_ah, 2, keepdim=True, out=gradients[3])
        else:
            gradients[3].copy_(gradients[2])
        found = [weight, recurrent, *gradients[2:]]
        return found, None if is_first else self._products.input_gradient(parameters[0], d_ax)

    def _room(self, name: str, like: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the same memory at every step: the system takes long to give so much anew."""
        n_numbers = math.prod(shape)
        room = self._rooms.get(name)
        if room is None or room.numel() < n_numbers:
            room = self._rooms[name] = like.new_empty(n_numbers)
        return room[:n_numbers].view(*shape)

    def forget(self) -> None:
        """Let go of all memory."""
        self._saved, self._rooms = [], {}
        self._input = self._before = torch.empty(0)

    def _through(self, dh: Tensor, before: State) -> tuple[Tensor, State]:
        """Return the gradients of output and rest of the state, those around the gates added."""
        if self._cell.n_states > 1:  # the output reaches the next step by the gates alone
            return dh, before
        return (dh.add_(before[0]) if before else dh), ()


class Recurrent(Network):
    """Recurrent layers, dropout behind each, a linear layer on the last step's output.

    Args:
        shapes: Of each layer ``weight_ih, weight_hh, bias_ih, bias_hh``, then weight and bias
            of the output; of the widest lane.
        cell: Of every layer.
        products: How matrices are multiplied.
        n_steps: Steps an input is cut into.
        n_rows: Lanes there is room for.
        device: Where the coins of dropout are thrown.
    """

    def __init__(
        self,
        shapes: Shapes,
        cell: Cell,
        products: Products,
        *,
        n_steps: int,
        n_rows: int,
        device: torch.device,
    ) -> None:
        self.shapes = shapes
        self.is_weight = tuple(len(shape) == 2 for shape in shapes.values())
        n_layers = (len(shapes) - 2) // _PARAMETERS
        width = tuple(shapes.values())[1][1]
        self.n_draws = n_layers
        self.flat_ends = cell.flat_ends
        self._products, self._n_steps = products, n_steps
        self._layers = [_Layer(cell, products, n_steps) for _ in range(n_layers)]
        self._dropouts = [Dropout(n_rows, width, device) for _ in range(n_layers)]
        self._factors: list[Tensor | None] = []
        self._last = torch.empty(0)
        self._shown: list[Tensor] = []

    def hidden(self) -> Sequence[Tensor]:
        """Return the last layer's outputs at the last step, of others the extremes of all steps.

        What the last layer puts out before its last step decides nothing by itself.
        """
        return self._shown

    def n_hidden(self, shapes: Shapes) -> int:
        """Return the sum of the widths of all layers."""
        return n_recurrent_units(shapes)

    def forward(
        self, parameters: Sequence[Tensor], x: Tensor, keys: Tensor | None = None
    ) -> Tensor:
        """Return the outputs before softmax, ``[lanes, outputs, batch]``."""
        columns = steps_first(x, self._n_steps)
        if keys is None:
            last = self._evaluate(parameters, columns)
        else:
            self._shown = []
            last = self._last = self._train(parameters, columns, keys)
        return linear(last, parameters[-2], parameters[-1], self._products)

    def backward(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], d: Tensor
    ) -> list[Tensor]:
        """Return the gradients, given the gradient ``d`` of the last outputs."""
        found = list(gradients)
        found[-2] = linear_backward(d, self._last, gradients[-2], gradients[-1], self._products)
        gradient: Tensor | None = self._products.input_gradient(parameters[-2], d)
        for index in reversed(range(len(self._layers))):
            assert gradient is not None  # noqa: S101 - None of the first layer alone
            factors = self._factors[index]
            if factors is not None:
                gradient.mul_(factors)
            own = slice(_PARAMETERS * index, _PARAMETERS * (index + 1))
            found[own], gradient = self._layers[index].backward(
                parameters[own], gradients[own], gradient, is_first=index == 0
            )
        return found

    def variant(self, n_lanes: int) -> Hashable:
        """Return which layers drop any."""
        return tuple(layer.drops(n_lanes) for layer in self._dropouts)

    def forget(self) -> None:
        """Let go of what the last step left, and of the rooms for the next."""
        for layer in self._layers:
            layer.forget()
        self._factors, self._last, self._shown = [], torch.empty(0), []

    def resize(self, n_rows: int) -> None:
        """Make room for ``n_rows`` lanes."""
        for dropout in self._dropouts:
            dropout.resize(n_rows)

    def fit(self, lane: int, shapes: Shapes, dropout: Sequence[float] = ()) -> None:  # noqa: ARG002 - padding needs no mask
        """Note the rates of a lane, layer by layer."""
        rates = dropout or (0.0,) * len(self._dropouts)
        for layer, rate in zip(self._dropouts, rates, strict=True):
            layer.set_rate(lane, rate)

    def move(self, source: int, target: int) -> None:
        """Take the rates of one row to another."""
        for dropout in self._dropouts:
            dropout.move(source, target)

    def _train(self, parameters: Sequence[Tensor], columns: Tensor, keys: Tensor) -> Tensor:
        """Return the last step's outputs behind dropout; layer after layer, all steps each."""
        self._factors = []
        h = columns
        for index, layer in enumerate(self._layers):
            at = _PARAMETERS * index
            own, is_last = parameters[at : at + _PARAMETERS], index == len(self._layers) - 1
            h = layer.forward(own, h, is_last=is_last)
            factors = self._dropouts[index].factors(keys[:, index], h.shape[2], h.dtype)
            self._factors.append(factors)
            h = h if factors is None else h * factors
        return h

    def _evaluate(self, parameters: Sequence[Tensor], columns: Tensor) -> Tensor:
        """Return the last step's outputs; step after step, so that no sequence is kept."""
        is_shared = columns.dim() == 2
        batch = columns.shape[0 if is_shared else 2] // self._n_steps
        own = [
            parameters[_PARAMETERS * i : _PARAMETERS * (i + 1)] for i in range(len(self._layers))
        ]
        states = [layer.beginning(p, batch) for layer, p in zip(self._layers, own, strict=True)]
        below = len(self._layers) - 1
        extremes: list[tuple[Tensor, Tensor]] = []
        for step in range(self._n_steps):
            at = slice(step * batch, (step + 1) * batch)
            h = columns[at] if is_shared else columns[:, :, at]
            for index, layer in enumerate(self._layers):
                ax = layer.contribution(own[index], h)
                states[index], _ = layer.step(own[index], ax, states[index])
                h = states[index][0]
            outputs = [state[0] for state in states[:below]]
            extremes = (
                [
                    (h.maximum(high), h.minimum(low))
                    for h, (high, low) in zip(outputs, extremes, strict=True)
                ]
                if step
                else [(h, h) for h in outputs]
            )
        self._shown = [*(torch.cat(both, 2) for both in extremes), states[-1][0]]
        return states[-1][0]


def n_recurrent_units(shapes: Shapes) -> int:
    """Return the sum of the widths of all recurrent layers of a network of these shapes."""
    recurrent = tuple(shapes.values())[1:-2:_PARAMETERS]
    return sum(width for _, width in recurrent)
