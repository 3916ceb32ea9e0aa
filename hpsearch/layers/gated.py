"""Gated recurrent layers lane by lane with torch's own kernels, for devices where fusing loses.

On a CPU torch runs all steps of an LSTM in one kernel of oneDNN, which its products over lanes do
not come near; a GRU is at best as fast where MKL's products are. The lanes still share their
batches, their optimizer and everything else of a pack.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from hpsearch.layers.sequence_network import PARAMETERS, SequenceNetwork
from hpsearch.layers.sequences import steps_first
from hpsearch.layers.stack import Shapes


class Gated(SequenceNetwork):
    """GRU or LSTM layers, dropout behind each, a linear layer on the last step's output.

    Args:
        shapes: Of each layer ``weight_ih, weight_hh, bias_ih, bias_hh``, then weight and bias
            of the output; of the widest lane.
        cell: Of every layer, `gru` or `lstm`.
        n_steps: Steps an input is cut into.
        n_rows: Lanes there is room for.
        device: Where the coins of dropout are thrown.
    """

    flat_ends = (-1.0, 1.0)

    def __init__(
        self,
        shapes: Shapes,
        cell: str,
        *,
        n_steps: int,
        n_rows: int,
        device: torch.device,
    ) -> None:
        super().__init__(shapes, n_rows, device)
        self._cell, self._n_steps = cell, n_steps
        self._graphs: list[tuple[Tensor, list[Tensor]]] = []
        self._shown: list[list[Tensor]] = []  # of each lane, of each layer

    def hidden(self) -> Sequence[Tensor]:
        """Return the last layer's outputs at the last step, of others the extremes of all steps.

        What the last layer puts out before its last step decides nothing by itself.
        """
        return [torch.stack(lanes) for lanes in zip(*self._shown, strict=True)]

    def forward(
        self, parameters: Sequence[Tensor], x: Tensor, keys: Tensor | None = None
    ) -> Tensor:
        """Return the outputs before softmax, ``[lanes, outputs, batch]``."""
        columns = steps_first(x, self._n_steps)
        n_lanes, batch = parameters[0].shape[0], x.shape[0 if x.dim() == 2 else 2]
        out = x.new_empty((n_lanes, parameters[-1].shape[1], batch))
        factors = self._coins(keys, batch, x.dtype)
        self._graphs, self._shown = [], []
        with torch.set_grad_enabled(keys is not None):
            for lane in range(n_lanes):
                # copies: torch aligns them, so that no result depends on the row
                leaves = [
                    p[lane].detach().squeeze(-1).clone().requires_grad_(keys is not None)
                    for p in parameters
                ]
                rows = columns if columns.dim() == 2 else columns[lane].t()
                own = [None if f is None else f[lane] for f in factors]
                z = self._run(leaves, rows.reshape(self._n_steps, batch, -1), own)
                out[lane].copy_(z.detach().t())
                if keys is not None:
                    self._graphs.append((z, leaves))
        return out

    def backward(
        self,
        parameters: Sequence[Tensor],  # noqa: ARG002 - the interface
        gradients: Sequence[Tensor],
        d: Tensor,
    ) -> list[Tensor]:
        """Overwrite and return ``gradients``, given the gradient ``d`` of the last outputs."""
        for lane, (z, leaves) in enumerate(self._graphs):
            # torch returns one tensor for two biases: copies, because they are scaled in place
            own = torch.autograd.grad(z, leaves, d[lane].t())
            for gradient, one in zip(gradients, own, strict=True):
                gradient[lane].copy_(one.view(gradient.shape[1:]))
        self._graphs = []
        return list(gradients)

    def _coins(self, keys: Tensor | None, batch: int, dtype: torch.dtype) -> list[Tensor | None]:
        """Return the dropout factors of every layer; of the last one for its last step alone."""
        if keys is None:
            return [None] * self.n_draws
        n_steps = [self._n_steps] * (self.n_draws - 1) + [1]
        return [
            dropout.factors(keys[:, index], n * batch, dtype)
            for index, (dropout, n) in enumerate(zip(self._dropouts, n_steps, strict=True))
        ]

    def _run(
        self, leaves: Sequence[Tensor], sequence: Tensor, factors: Sequence[Tensor | None]
    ) -> Tensor:
        """Return one lane's outputs ``[batch, outputs]``."""
        batch = sequence.shape[1]
        zeros = sequence.new_zeros((1, batch, self._width))
        is_training = torch.is_grad_enabled()
        shown: list[Tensor] = []
        for index in range(self.n_draws):
            own = list(leaves[PARAMETERS * index : PARAMETERS * (index + 1)])
            rest = (True, 1, 0.0, is_training, False, False)
            if self._cell == "lstm":
                sequence = torch.lstm(sequence, (zeros, zeros), own, *rest)[0]
            else:
                sequence = torch.gru(sequence, zeros, own, *rest)[0]
            if index == self.n_draws - 1:
                sequence = sequence[-1:]
            if not is_training:
                both = (sequence.amax(0), sequence.amin(0)) if len(sequence) > 1 else sequence
                shown.append(torch.cat(tuple(both)).t())
            coins = factors[index]
            if coins is not None:
                sequence = sequence * coins.view(self._width, -1, batch).permute(1, 2, 0)
        if not is_training:
            self._shown.append(shown)
        return linear(sequence[-1], leaves[-2], leaves[-1])
