"""Linear layers with an activation between them, over lanes, differentiated by hand."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpsearch.layers.activations import Activation
from hpsearch.layers.linear import linear, linear_backward
from hpsearch.layers.network import Network
from hpsearch.layers.products import Products
from hpsearch.layers.stack import Shapes


class Feedforward(Network):
    """``linear, activation, ..., linear``: a multi-layer perceptron for a pack of lanes.

    Args:
        shapes: Weight and bias of every layer, in order, of the widest lane.
        activation: Of all hidden layers.
        products: How matrices are multiplied.
        n_rows: Lanes there is room for.
        device: Of the masks.
    """

    def __init__(
        self,
        shapes: Shapes,
        activation: Activation,
        products: Products,
        *,
        n_rows: int,
        device: torch.device,
    ) -> None:
        self.shapes = shapes
        self.is_weight = tuple(len(shape) == 2 for shape in shapes.values())
        self._activation = activation
        self._products = products
        self._device = device
        self._hidden = tuple(shape[0] for shape in shapes.values() if len(shape) == 2)[:-1]
        self._is_padding = self._masks(n_rows)
        self._has_padding = False
        self._inputs: list[Tensor] = []
        self._saved: list[Tensor] = []

    def forward(self, parameters: Sequence[Tensor], x: Tensor) -> Tensor:
        """Return the outputs before softmax, ``[lanes, outputs, batch]``."""
        self._inputs, self._saved = [x], []
        n_lanes = parameters[0].shape[0]
        for layer in range(len(self._hidden)):
            weight, bias = parameters[2 * layer], parameters[2 * layer + 1]
            z = linear(self._inputs[layer], weight, bias, self._products)
            h, saved = self._activation.forward(z)
            if self._has_padding and not self._activation.keeps_zero:
                h.masked_fill_(self._is_padding[layer][:n_lanes], 0.0)
            self._inputs.append(h)
            self._saved.append(saved)
        return linear(self._inputs[-1], parameters[-2], parameters[-1], self._products)

    def backward(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], d: Tensor
    ) -> None:
        """Overwrite ``gradients``, given the gradient ``d`` of the last outputs."""
        for layer in reversed(range(len(self._inputs))):
            at = 2 * layer
            linear_backward(
                d, self._inputs[layer], gradients[at], gradients[at + 1], self._products
            )
            if layer:
                d = self._products.input_gradient(parameters[at], d)
                d = self._activation.backward(d, self._saved[layer - 1])

    def resize(self, n_rows: int) -> None:
        """Make room for ``n_rows`` lanes."""
        masks = self._masks(n_rows)
        for new, old in zip(masks, self._is_padding, strict=True):
            kept = min(len(new), len(old))
            new[:kept].copy_(old[:kept])
        self._is_padding = masks

    def fit(self, lane: int, shapes: Shapes) -> None:
        """Mask the units the lane in this row does not have."""
        widths = [shape[0] for shape in shapes.values() if len(shape) == 2][:-1]
        for mask, width, widest in zip(self._is_padding, widths, self._hidden, strict=True):
            mask[lane].zero_()
            mask[lane, width:] = True
            self._has_padding = self._has_padding or width < widest

    def move(self, source: int, target: int) -> None:
        """Take the masks of one row to another."""
        for mask in self._is_padding:
            mask[target].copy_(mask[source])

    def _masks(self, n_rows: int) -> list[Tensor]:
        return [
            torch.zeros((n_rows, width, 1), dtype=torch.bool, device=self._device)
            for width in self._hidden
        ]
