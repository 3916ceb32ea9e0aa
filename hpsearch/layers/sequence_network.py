"""What all networks of recurrent layers have in common, however these are worked out."""

from collections.abc import Hashable, Sequence

import torch

from hpsearch.layers.dropout import Dropout
from hpsearch.layers.network import Network
from hpsearch.layers.stack import Shapes

PARAMETERS = 4  # of a layer: weight_ih, weight_hh, bias_ih, bias_hh


class SequenceNetwork(Network):
    """Recurrent layers, dropout behind each, a linear layer on the last step's output.

    Padding needs no mask.

    Args:
        shapes: Of each layer ``weight_ih, weight_hh, bias_ih, bias_hh``, then weight and bias
            of the output; of the widest lane.
        n_rows: Lanes there is room for.
        device: Where the coins of dropout are thrown.
    """

    def __init__(self, shapes: Shapes, n_rows: int, device: torch.device) -> None:
        self.shapes = shapes
        self.is_weight = tuple(len(shape) == 2 for shape in shapes.values())
        self.n_draws = (len(shapes) - 2) // PARAMETERS
        self._width = tuple(shapes.values())[1][1]
        self._dropouts = [Dropout(n_rows, self._width, device) for _ in range(self.n_draws)]

    def n_hidden(self, shapes: Shapes) -> int:
        """Return the sum of the widths of all layers."""
        recurrent = tuple(shapes.values())[1:-2:PARAMETERS]
        return sum(width for _, width in recurrent)

    def variant(self, n_lanes: int) -> Hashable:
        """Return which layers drop any."""
        return tuple(layer.drops(n_lanes) for layer in self._dropouts)

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
