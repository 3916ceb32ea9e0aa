"""Linear layers with an activation between them, over lanes, differentiated by hand."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from hpsearch.layers.activations import Activation
from hpsearch.layers.affine import Affine, RuleStep
from hpsearch.layers.dropout import Dropout
from hpsearch.layers.network import Network
from hpsearch.layers.norm import BatchNorm
from hpsearch.layers.stack import Shapes

_RUNNING = 3  # mean, variance, count of each batch norm


class Feedforward(Network):
    """``linear [, batch norm], activation, dropout, ..., linear`` for a pack of lanes.

    Args:
        shapes: Parameters of every layer in order (weight, bias; then weight and bias of the
            batch norm, if there is one), then the running statistics; of the widest lane.
        activation: Of all hidden layers.
        affine: How the linear layers are worked out.
        has_norm: Whether a batch norm stands behind every linear layer but the last.
        n_rows: Lanes there is room for.
        device: Of the masks.
    """

    def __init__(
        self,
        shapes: Shapes,
        activation: Activation,
        affine: Affine,
        *,
        has_norm: bool = False,
        n_rows: int,
        device: torch.device,
    ) -> None:
        self.shapes = shapes
        self._hidden = _widths(shapes)[:-1]
        self._stride = 4 if has_norm else 2
        n_layers = len(self._hidden)
        n_trained = self._stride * n_layers + 2
        self.is_weight = tuple(len(shape) == 2 for shape in tuple(shapes.values())[:n_trained])
        self.n_draws = n_layers
        self.flat_ends = activation.flat_ends
        self._activation = activation
        self._affine = affine
        self.takes_steps = affine.takes_steps
        self._device = device
        self._norms = [BatchNorm() for _ in self._hidden] if has_norm else []
        self._dropouts = [Dropout(n_rows, width, device) for width in self._hidden]
        self._is_padding = self._masks(n_rows)
        self._has_padding = False
        self._inputs: list[Tensor] = []
        self._saved: list[Tensor] = []
        self._factors: list[Tensor | None] = []

    def forward(
        self, parameters: Sequence[Tensor], x: Tensor, keys: Tensor | None = None
    ) -> Tensor:
        """Return the outputs before softmax, ``[lanes, outputs, batch]``."""
        self._inputs, self._saved, self._factors = [x], [], []
        n_lanes = parameters[0].shape[0]
        n_trained = len(self.is_weight)
        for layer in range(len(self._hidden)):
            at = self._stride * layer
            x, weight, bias = self._inputs[layer], parameters[at], parameters[at + 1]
            if self._norms:
                z = self._affine.forward(x, weight, bias)
                z = self._normalise(layer, parameters, z, is_training=keys is not None)
                h, saved = self._activation.forward(z)
            else:
                h, saved = self._affine.activated(x, weight, bias, self._activation)
            if self._has_padding and not self._activation.keeps_zero:
                h.masked_fill_(self._is_padding[layer][:n_lanes], 0.0)
            self._saved.append(saved)
            factors = None  # the activation's derivative needs what it returned itself
            if keys is not None:
                h, factors = self._affine.dropped(h, self._dropouts[layer], keys[:, layer])
            self._factors.append(factors)
            self._inputs.append(h)
        return self._affine.forward(
            self._inputs[-1], parameters[n_trained - 2], parameters[n_trained - 1]
        )

    def backward(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], d: Tensor
    ) -> list[Tensor]:
        """Return the gradients, given the gradient ``d`` of the last outputs."""
        found = self._backward(parameters, gradients, d, None)
        return [gradient for gradient in found if gradient is not None]

    def descend(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], d: Tensor, step: RuleStep
    ) -> list[Tensor | None]:
        """Change the linear layers; return the gradients of batch norms."""
        return self._backward(parameters, gradients, d, step)

    def _backward(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        d: Tensor,
        step: RuleStep | None,
    ) -> list[Tensor | None]:
        found: list[Tensor | None] = list(gradients)
        for layer in reversed(range(len(self._inputs))):
            at, x = self._stride * layer, self._inputs[layer]
            weight, bias = parameters[at : at + 2]
            if self._norms and layer < len(self._hidden):
                d = self._norms[layer].backward(d, gradients[at + 2], gradients[at + 3])
            below = d
            if layer:  # before the weights are changed
                below = self._affine.input_gradient(
                    d,
                    weight,
                    x,
                    self._activation,
                    self._saved[layer - 1],
                    self._factors[layer - 1],
                )
            if step is None:
                found[at] = self._affine.gradients(d, x, gradients[at], gradients[at + 1])
            else:
                self._affine.step(d, x, weight, bias, step, at)
                found[at : at + 2] = None, None
            d = below
        return found

    def hidden(self) -> Sequence[Tensor]:
        """Return the inputs of all layers but the first."""
        return self._inputs[1:]

    def n_hidden(self, shapes: Shapes) -> int:
        """Return the sum of the hidden widths."""
        return sum(_widths(shapes)[:-1])

    def variant(self, n_lanes: int) -> Hashable:
        """Return whether outputs are masked, and which layers drop any."""
        return self._has_padding, *(layer.drops(n_lanes) for layer in self._dropouts)

    def has_kernels(self) -> bool:
        """Return whether layers are linear ones with one of the usual functions."""
        return (
            (not self._hidden or self._affine.has_kernels(self._activation))
            and not self._norms
            and (not self._has_padding or self._activation.keeps_zero)
        )

    def forget(self) -> None:
        """Let go of what the last step left for its way back."""
        self._inputs, self._saved, self._factors = [], [], []
        self._norms = [BatchNorm() for _ in self._norms]

    def resize(self, n_rows: int) -> None:
        """Make room for ``n_rows`` lanes."""
        masks = self._masks(n_rows)
        for new, old in zip(masks, self._is_padding, strict=True):
            kept = min(len(new), len(old))
            new[:kept].copy_(old[:kept])
        self._is_padding = masks
        for dropout in self._dropouts:
            dropout.resize(n_rows)

    def fit(self, lane: int, shapes: Shapes, dropout: Sequence[float] = ()) -> None:
        """Mask the units the lane in this row does not have; note its rates, layer by layer."""
        widths = _widths(shapes)[:-1]
        self._has_padding = self._has_padding or widths != self._hidden
        if self._has_padding:  # else no mask says anything
            for mask, width in zip(self._is_padding, widths, strict=True):
                mask[lane].zero_()
                mask[lane, width:] = True
        rates = dropout or (0.0,) * len(self._dropouts)
        for layer, rate in zip(self._dropouts, rates, strict=True):
            layer.set_rate(lane, rate)

    def move(self, source: int, target: int) -> None:
        """Take the masks of one row to another."""
        for mask in self._is_padding:
            mask[target].copy_(mask[source])
        for dropout in self._dropouts:
            dropout.move(source, target)

    def _normalise(
        self, layer: int, parameters: Sequence[Tensor], z: Tensor, *, is_training: bool
    ) -> Tensor:
        at = self._stride * layer + 2
        mean, variance, count = parameters[len(self.is_weight) + _RUNNING * layer :][:_RUNNING]
        return self._norms[layer].forward(
            z,
            parameters[at],
            parameters[at + 1],
            (mean, variance, count),
            is_training=is_training,
        )

    def _masks(self, n_rows: int) -> list[Tensor]:
        return [
            torch.zeros((n_rows, width, 1), dtype=torch.bool, device=self._device)
            for width in self._hidden
        ]


def _widths(shapes: Shapes) -> list[int]:
    return [shape[0] for shape in shapes.values() if len(shape) == 2]
