"""Recurrent networks over lanes: all lanes in every product, layer after layer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpsearch.layers.cells import Cell
from hpsearch.layers.kernel_layer import KernelLayer, kernels_of
from hpsearch.layers.linear import linear, linear_backward
from hpsearch.layers.products import Products
from hpsearch.layers.recurrent_layer import Layer, PlainLayer
from hpsearch.layers.sequence_network import PARAMETERS, SequenceNetwork
from hpsearch.layers.sequences import steps_first
from hpsearch.layers.stack import Shapes


class Recurrent(SequenceNetwork):
    """Recurrent layers, dropout behind each, a linear layer on the last step's output.

    Args:
        shapes: Of each layer ``weight_ih, weight_hh, bias_ih, bias_hh``, then weight and bias
            of the output; of the widest lane.
        cell: Of every layer.
        products: How matrices are multiplied.
        n_steps: Steps an input is cut into.
        n_rows: Lanes there is room for.
        device: Where it is trained.
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
        super().__init__(shapes, n_rows, device)
        self.flat_ends = cell.flat_ends
        self._products, self._n_steps = products, n_steps
        self._layers = [_layer(cell, products, n_steps, device) for _ in range(self.n_draws)]
        self._factors: list[Tensor | None] = []
        self._last = torch.empty(0)
        self._shown: list[Tensor] = []

    def hidden(self) -> Sequence[Tensor]:
        """Return the last layer's outputs at the last step, of others the extremes of all steps.

        What the last layer puts out before its last step decides nothing by itself.
        """
        return self._shown

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
            own = slice(PARAMETERS * index, PARAMETERS * (index + 1))
            found[own], gradient = self._layers[index].backward(
                parameters[own], gradients[own], gradient, is_first=index == 0
            )
        return found

    def forget(self) -> None:
        """Let go of what the last step left, and of the rooms for the next."""
        for layer in self._layers:
            layer.forget()
        self._factors, self._last, self._shown = [], torch.empty(0), []

    def _train(self, parameters: Sequence[Tensor], columns: Tensor, keys: Tensor) -> Tensor:
        """Return the last step's outputs behind dropout; layer after layer, all steps each."""
        self._factors = []
        h = columns
        for index, layer in enumerate(self._layers):
            at = PARAMETERS * index
            own, is_last = parameters[at : at + PARAMETERS], index == len(self._layers) - 1
            h = layer.forward(own, h, is_last=is_last)
            factors = self._dropouts[index].factors(keys[:, index], h.shape[2], h.dtype)
            self._factors.append(factors)
            h = h if factors is None else h * factors
        return h

    def _evaluate(self, parameters: Sequence[Tensor], columns: Tensor) -> Tensor:
        """Return the last step's outputs; step after step, so that no sequence is kept."""
        is_shared = columns.dim() == 2
        batch = columns.shape[0 if is_shared else 2] // self._n_steps
        own = [parameters[PARAMETERS * i : PARAMETERS * (i + 1)] for i in range(len(self._layers))]
        states = [layer.beginning(p, batch) for layer, p in zip(self._layers, own, strict=True)]
        below = len(self._layers) - 1
        extremes: list[tuple[Tensor, Tensor]] = []
        for step in range(self._n_steps):
            at = slice(step * batch, (step + 1) * batch)
            h = columns[at] if is_shared else columns[:, :, at]
            for index, layer in enumerate(self._layers):
                states[index] = layer.advance(own[index], h, states[index])
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


def _layer(cell: Cell, products: Products, n_steps: int, device: torch.device) -> Layer:
    kernels = kernels_of(cell, device)
    if kernels is None:
        return PlainLayer(cell, products, n_steps)
    return KernelLayer(kernels, products, n_steps)
