"""Affine maps by kernels made for this processor: one pass over memory, all lanes in a call."""

import torch
from torch import Tensor

from hpsearch.errors import ShapeError
from hpsearch.layers.activations import Activation
from hpsearch.layers.affine import Affine, RuleStep
from hpsearch.layers.dropout import LAST, Dropout
from hpsearch.layers.native_kernels import LayerKernels
from hpsearch.native.kernels import DROPPED, MEASURED, scratch_bytes
from hpsearch.native.library import ALIGNMENT, aligned, launch
from hpsearch.native.processor import Processor

_FUSED = ("relu", "leaky_relu", "tanh", "sigmoid")  # worked out along with sums, both ways


class NativeAffine(Affine):
    """Activations stand in memory example by example, ``[lanes, batch, features]``.

    Args:
        processor: The one at hand.
        is_exact: Whether products must not be rounded to bfloat16. A lane's result is the one it
            has alone either way, if it is as wide as its pack: few units are not rounded.
    """

    takes_steps = True

    def __init__(self, processor: Processor, *, is_exact: bool) -> None:
        self._kernels = LayerKernels(processor, is_exact=is_exact)
        self._scratch = torch.empty(0, dtype=torch.uint8)
        self._address = 0

    def has_kernels(self, activation: Activation) -> bool:
        """Return whether the activation is worked out along with the sums."""
        return activation.name in _FUSED

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Add the bias while the sums are at hand."""
        return self._forward(x, weight, bias, "none")

    def activated(
        self, x: Tensor, weight: Tensor, bias: Tensor, activation: Activation
    ) -> tuple[Tensor, Tensor]:
        """Apply the function while the sums are at hand, too, unless it is a rare one."""
        if not self.has_kernels(activation):
            return super().activated(x, weight, bias, activation)
        h = self._forward(x, weight, bias, activation.name)
        return h, h

    def _forward(self, x: Tensor, weight: Tensor, bias: Tensor, function: str) -> Tensor:
        n_lanes, outputs, inputs = weight.shape
        if x.shape[1] != inputs or (x.dim() == 3 and x.shape[0] != n_lanes):
            raise ShapeError(f"input {tuple(x.shape)} does not fit weights {tuple(weight.shape)}")
        rows = _rows(x)
        batch = rows.shape[-2]
        z = weight.new_empty(n_lanes, batch, outputs)
        arguments = (
            n_lanes,
            batch,
            outputs,
            inputs,
            weight.data_ptr(),
            bias.data_ptr(),
            rows.data_ptr(),
            *_strides(rows),
            z.data_ptr(),
            self._room(batch, outputs, inputs),
        )
        launch(
            self._kernels.of("affine", [weight], function),
            arguments,
            (weight, bias, rows, z, self._scratch),
        )
        return z.transpose(1, 2)

    def dropped(
        self, h: Tensor, dropout: Dropout, keys: Tensor, n_steps: int = 1
    ) -> tuple[Tensor, Tensor | None]:
        """Throw the coins and multiply in one pass.

        Args:
            h: As in :meth:`Affine.dropped`.
            dropout: As there.
            keys: As there.
            n_steps: Of a sequence, whose outputs follow each other in ``h``.
        """
        n_lanes, width, batch = h.shape
        if not dropout.drops(n_lanes):
            return h, None
        rows = h.transpose(1, 2).contiguous()
        places, threshold, scale = dropout.by_example(n_lanes, batch, h.dtype, n_steps)
        out, factors = torch.empty_like(rows), torch.empty_like(rows)
        arguments = (
            n_lanes,
            batch,
            width,
            rows.data_ptr(),
            out.data_ptr(),
            factors.data_ptr(),
            places.data_ptr(),
            keys.data_ptr(),
            keys.stride(0) * keys.element_size(),
            threshold.data_ptr(),
            scale.data_ptr(),
            LAST,
        )
        kept = (rows, out, factors, places, keys, threshold, scale)
        launch(self._kernels.plain("drop", h.dtype), arguments, kept)
        return out.transpose(1, 2), factors.transpose(1, 2)

    def input_gradient(
        self,
        d: Tensor,
        weight: Tensor,
        x: Tensor,  # noqa: ARG002 - stands as the result does
        activation: Activation,
        saved: Tensor,
        factors: Tensor | None,
    ) -> Tensor:
        """Multiply by the factors, and by most derivatives, while the sums are at hand."""
        h = saved.transpose(1, 2)
        if activation.name in _FUSED and h.is_contiguous():
            return self._back(d, weight, factors, h, activation.name)
        return activation.backward(self.plain_input_gradient(d, weight, factors), saved)

    def plain_input_gradient(self, d: Tensor, weight: Tensor, factors: Tensor | None) -> Tensor:
        """Return the gradient of the input, which no activation made.

        Args:
            d: As in :meth:`input_gradient`.
            weight: As there.
            factors: As there.
        """
        return self._back(d, weight, factors, None, "none")

    def _back(
        self, d: Tensor, weight: Tensor, factors: Tensor | None, h: Tensor | None, function: str
    ) -> Tensor:
        n_lanes, outputs, inputs = weight.shape
        rows = _rows(d)
        batch = rows.shape[1]
        out = weight.new_empty(n_lanes, batch, inputs)
        coins = None if factors is None else factors.transpose(1, 2).contiguous()
        arguments = (
            n_lanes,
            batch,
            outputs,
            inputs,
            weight.data_ptr(),
            rows.data_ptr(),
            *_strides(rows),
            0 if h is None else h.data_ptr(),
            0 if coins is None else coins.data_ptr(),
            out.data_ptr(),
            self._room(batch, outputs, inputs),
        )
        variant = function if coins is None else f"{function}{DROPPED}"
        kept = (weight, rows, h, coins, out, self._scratch)
        launch(self._kernels.of("input_gradient", [weight], variant), arguments, kept)
        return out.transpose(1, 2)

    def gradients(self, d: Tensor, x: Tensor, weight_out: Tensor, bias_out: Tensor) -> Tensor:
        """Work both out in one call."""
        rows, inner = _rows(d), _rows(x)
        arguments = (
            *_both_sides(rows, inner, weight_out),
            weight_out.data_ptr(),
            bias_out.data_ptr(),
            self._room(rows.shape[1], *weight_out.shape[1:]),
        )
        kept = (rows, inner, weight_out, bias_out, self._scratch)
        launch(self._kernels.of("weight_gradient", [weight_out]), arguments, kept)
        return weight_out

    def step(
        self,
        d: Tensor,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        rule: RuleStep,
        at: int,
        bias_at: int | None = None,
    ) -> None:
        """Change each number when its gradient is summed up: it is never written.

        Args:
            d: As in :meth:`Affine.step`.
            x: As there.
            weight: As there.
            bias: As there.
            rule: As there.
            at: As there.
            bias_at: Number of the bias; None: it follows the weight.
        """
        bias_at = at + 1 if bias_at is None else bias_at
        rows, inner = _rows(d), _rows(x)
        running = [(b[at].data_ptr(), b[bias_at].data_ptr()) for b in rule.buffers]
        (first, second) = (*running, (0, 0), (0, 0))[:2]
        arguments = (
            *_both_sides(rows, inner, weight),
            weight.data_ptr(),
            bias.data_ptr(),
            rule.coefficients.data_ptr(),
            self._room(rows.shape[1], *weight.shape[1:]),
            *first,
            *second,
            0 if rule.signs is None else rule.signs.data_ptr(),
        )
        kept = (rows, inner, weight, bias, rule, self._scratch)
        variant = rule.rule if rule.signs is None else f"{rule.rule}{MEASURED}"
        launch(self._kernels.of("weight_step", [weight], variant), arguments, kept)

    def _room(self, batch: int, outputs: int, inputs: int) -> int:
        """Return the address of scratch memory for a layer."""
        wanted = scratch_bytes(batch, outputs, inputs)
        if len(self._scratch) < wanted + ALIGNMENT:
            self._scratch = torch.empty(wanted + ALIGNMENT, dtype=torch.uint8)
            self._address = aligned(self._scratch.data_ptr())
        return self._address


def _rows(x: Tensor) -> Tensor:
    """Return activations with an example's features side by side in memory."""
    rows = x if x.dim() == 2 else x.transpose(1, 2)
    return rows if rows.stride(-1) == 1 else rows.contiguous()


def _both_sides(d: Tensor, x: Tensor, weight: Tensor) -> tuple[int, ...]:
    """Return what every kernel of a weight's gradient takes first: sizes, and both its sides."""
    n_lanes, outputs, inputs = weight.shape
    sides = (d.data_ptr(), *_strides(d), x.data_ptr(), *_strides(x))
    return (n_lanes, d.shape[1], outputs, inputs, *sides)


def _strides(rows: Tensor) -> tuple[int, int]:
    """Return the bytes from lane to lane and from row to row; 0 where lanes share their rows."""
    size = rows.element_size()
    lane = rows.stride(0) * size if rows.dim() == 3 else 0
    return lane, rows.stride(-2) * size
