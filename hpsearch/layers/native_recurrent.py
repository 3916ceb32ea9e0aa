"""Recurrent networks by kernels made for this processor: all steps of all lanes in a call.

Sequences stand in memory example by example, ``[lanes, batch, steps, features]``, as batches do:
no input has to be copied. A row of a product is a step of an example.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpsearch.errors import ShapeError
from hpsearch.layers.affine import RuleStep
from hpsearch.layers.native_affine import NativeAffine
from hpsearch.layers.native_cells import NativeCells
from hpsearch.layers.sequence_network import PARAMETERS, SequenceNetwork
from hpsearch.layers.stack import Shapes
from hpsearch.native.processor import Processor

_AT_ONCE = 256  # examples of an evaluation: their states stay in the cache


class NativeRecurrent(SequenceNetwork):
    """Recurrent layers, dropout behind each, a linear layer on the last step's output.

    Args:
        shapes: Of each layer ``weight_ih, weight_hh, bias_ih, bias_hh``, then weight and bias
            of the output; of the widest lane.
        cell: Of every layer, one of :data:`hpsearch.native.cells.N_GATES`.
        processor: The one at hand.
        is_exact: Whether products must not be rounded to bfloat16.
        n_steps: Steps an input is cut into.
        n_rows: Lanes there is room for.
    """

    takes_steps = True

    def __init__(
        self,
        shapes: Shapes,
        cell: str,
        processor: Processor,
        *,
        is_exact: bool,
        n_steps: int,
        n_rows: int,
    ) -> None:
        super().__init__(shapes, n_rows, torch.device("cpu"))
        self.flat_ends = None if cell == "relu" else (-1.0, 1.0)
        self._n_steps = n_steps
        self._affine = NativeAffine(processor, is_exact=is_exact)
        self._layers = [
            NativeCells(processor, cell, n_steps, is_exact=is_exact) for _ in range(self.n_draws)
        ]
        self._inputs: list[Tensor] = []  # of each layer, and of the output
        self._factors: list[Tensor | None] = []
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
        if x.shape[1] % self._n_steps:
            raise ShapeError(f"{x.shape[1]} inputs cannot be cut into {self._n_steps} steps")
        rows = (x if x.dim() == 2 else x.transpose(1, 2)).contiguous()
        if keys is None:
            last = self._evaluate(parameters, rows)
        else:
            self._shown = []
            last = self._train(parameters, rows, keys)
        return self._affine.forward(last, parameters[-2], parameters[-1])

    def backward(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], d: Tensor
    ) -> list[Tensor]:
        """Return the gradients, given the gradient ``d`` of the last outputs."""
        self._backward(parameters, gradients, d, None)
        return list(gradients)

    def descend(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], d: Tensor, step: RuleStep
    ) -> list[Tensor | None]:
        """Change all parameters."""
        self._backward(parameters, gradients, d, step)
        return [None] * len(gradients)

    def has_kernels(self) -> bool:
        """Return True: there is nothing else."""
        return True

    def forget(self) -> None:
        """Let go of what the last step left, and of the rooms for the next."""
        for layer in self._layers:
            layer.forget()
        self._inputs, self._factors, self._shown = [], [], []

    def _train(self, parameters: Sequence[Tensor], rows: Tensor, keys: Tensor) -> Tensor:
        """Return the last step's outputs behind dropout; layer after layer, all steps each."""
        self._inputs, self._factors = [self._by_step(rows)], []
        for index, layer in enumerate(self._layers):
            own = parameters[PARAMETERS * index : PARAMETERS * (index + 1)]
            is_last = index == len(self._layers) - 1
            h = layer.forward(own, self._inputs[-1], is_last=is_last)
            h, factors = self._affine.dropped(
                h, self._dropouts[index], keys[:, index], 1 if is_last else self._n_steps
            )
            self._factors.append(factors)
            self._inputs.append(h)
        return self._inputs[-1]

    def _backward(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        d: Tensor,
        step: RuleStep | None,
    ) -> None:
        affine = self._affine
        n = len(self._layers)

        def change(d: Tensor, x: Tensor, at: int, bias_at: int) -> None:
            """Write the gradients of a weight and its bias, or take the step."""
            if step is None:
                affine.gradients(d, x, gradients[at], gradients[bias_at])
            else:
                affine.step(d, x, parameters[at], parameters[bias_at], step, at, bias_at)

        output = PARAMETERS * n
        below = affine.plain_input_gradient(d, parameters[output], self._factors[-1])
        change(d, self._inputs[-1], output, output + 1)
        for index in reversed(range(n)):
            at = PARAMETERS * index
            own = parameters[at : at + PARAMETERS]
            d_ax, d_ah, before = self._layers[index].backward(own, below)
            if index:  # before the weights are changed
                below = affine.plain_input_gradient(d_ax, own[0], self._factors[index - 1])
            change(d_ax, self._inputs[index], at, at + 2)
            change(d_ah, before, at + 1, at + 3)

    def _evaluate(self, parameters: Sequence[Tensor], rows: Tensor) -> Tensor:
        """Return the last step's outputs; a few examples after the other."""
        axis = rows.dim() - 2
        found = [self._some(parameters, few) for few in torch.split(rows, _AT_ONCE, axis)]
        layers = zip(*found, strict=True)
        self._shown = [torch.cat(parts, 2) for parts in layers] if len(found) > 1 else found[0]
        return self._shown[-1]

    def _some(self, parameters: Sequence[Tensor], rows: Tensor) -> list[Tensor]:
        """Return what is shown of each layer, of some examples."""
        h, shown = self._by_step(rows), []
        for index, layer in enumerate(self._layers):
            own = parameters[PARAMETERS * index : PARAMETERS * (index + 1)]
            is_last = index == len(self._layers) - 1
            h = layer.evaluate(own, h, is_last=is_last)
            if not is_last:
                outputs = h.transpose(1, 2)  # as they stand in memory
                n_lanes, _, width = outputs.shape
                steps = outputs.view(n_lanes, -1, self._n_steps, width)
                shown.append(torch.cat((steps.amax(2), steps.amin(2)), 1).transpose(1, 2))
        return [*shown, h]

    def _by_step(self, rows: Tensor) -> Tensor:
        """Return inputs ``[.., batch, steps · features]`` as a layer takes them."""
        if rows.dim() == 2:
            return rows.reshape(rows.shape[0] * self._n_steps, -1)
        by_step = rows.reshape(rows.shape[0], rows.shape[1] * self._n_steps, -1)
        return by_step.transpose(1, 2)
