"""The affine maps of a feedforward network, forward and backward, in one of two ways."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpsearch.layers.activations import Activation
from hpsearch.layers.dropout import Dropout
from hpsearch.layers.linear import linear, linear_backward
from hpsearch.layers.products import Products
from hpsearch.native.processor import Processor, processor


@dataclass(frozen=True, slots=True)
class RuleStep:
    """An update rule's step, for a layer that takes it where it works the gradient out.

    Attributes:
        rule: By its name in :data:`hpsearch.native.rules.RULES`.
        coefficients: Of this step, ``[lanes, names]``, that of the l2 term last.
        buffers: For each running value of the rule a tensor for each trained parameter.
        signs: Where squares of the gradient, of the weight matrices before the step and of their
            changes are added up, ``[lanes, 3]``, float64; None: nowhere.
    """

    rule: str
    coefficients: Tensor
    buffers: Sequence[Sequence[Tensor]]
    signs: Tensor | None = None


class Affine(ABC):
    """What a layer of a feedforward network does but for its activation.

    Activations are ``[lanes, features, batch]``; how they stand in memory is up to this.
    """

    takes_steps: bool = False
    """Whether :meth:`step` can be called."""

    def has_kernels(self, activation: Activation) -> bool:  # noqa: ARG002 - for those that do
        """Return whether all that a layer with this activation does are kernels of our own."""
        return False

    @abstractmethod
    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return ``weight[k] @ x[k] + bias[k]``.

        Args:
            x: ``[batch, features]``, shared by all lanes, or ``[lanes, features, batch]``.
            weight: ``[lanes, hidden, features]``, contiguous.
            bias: ``[lanes, hidden, 1]``, contiguous.
        """

    def activated(
        self, x: Tensor, weight: Tensor, bias: Tensor, activation: Activation
    ) -> tuple[Tensor, Tensor]:
        """Return what an activation makes of :meth:`forward`, and what its derivative needs."""
        return activation.forward(self.forward(x, weight, bias))

    def dropped(self, h: Tensor, dropout: Dropout, keys: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what dropout leaves of outputs, and the factors it multiplied by.

        None: it left them alone.

        Args:
            h: ``[lanes, width, batch]``, which is kept.
            dropout: Of this layer.
            keys: Of this step and layer, ``[lanes, 2]``.
        """
        factors = dropout.factors(keys, h.shape[2], h.dtype)
        if factors is None:
            return h, None
        if factors.stride() != h.stride():  # as h stands in memory: they are read twice
            factors = torch.empty_like(h).copy_(factors)
        return h * factors, factors

    @abstractmethod
    def input_gradient(
        self,
        d: Tensor,
        weight: Tensor,
        x: Tensor,
        activation: Activation,
        saved: Tensor,
        factors: Tensor | None,
    ) -> Tensor:
        """Return the gradient before the activation that made this layer's input.

        Args:
            d: Gradient of the layer's output, ``[lanes, hidden, batch]``.
            weight: As in :meth:`forward`.
            x: The layer's input.
            activation: What made it.
            saved: What the activation needs for its derivative.
            factors: What its output was multiplied by, by dropout.
        """

    @abstractmethod
    def gradients(self, d: Tensor, x: Tensor, weight_out: Tensor, bias_out: Tensor) -> Tensor:
        """Return the gradient of the weight; overwrite that of the bias.

        Args:
            d: Gradient of the layer's output.
            x: The layer's input.
            weight_out: Memory for what is returned, which may stand elsewhere, too.
            bias_out: Overwritten.
        """

    def step(
        self, d: Tensor, x: Tensor, weight: Tensor, bias: Tensor, rule: RuleStep, at: int
    ) -> None:
        """Change weight and bias by their gradients, as :meth:`gradients` would return them.

        Args:
            d: Gradient of the layer's output.
            x: The layer's input.
            weight: Changed.
            bias: Changed.
            rule: How.
            at: Number of the weight among the parameters; the bias follows it.
        """
        raise NotImplementedError


class TorchAffine(Affine):
    """By torch's own products and operations."""

    def __init__(self, products: Products) -> None:
        self._products = products

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Multiply, then add."""
        return linear(x, weight, bias, self._products)

    def input_gradient(
        self,
        d: Tensor,
        weight: Tensor,
        x: Tensor,
        activation: Activation,
        saved: Tensor,
        factors: Tensor | None,
    ) -> Tensor:
        """Multiply by the weights, the factors, the derivative."""
        d = self._products.input_gradient(weight, d, like=x)
        if factors is not None:
            d.mul_(factors)
        return activation.backward(d, saved)

    def gradients(self, d: Tensor, x: Tensor, weight_out: Tensor, bias_out: Tensor) -> Tensor:
        """Sum up, and multiply."""
        return linear_backward(d, x, weight_out, bias_out, self._products)


def affine_of(*, is_exact: bool, device: torch.device) -> Affine:
    """Return the faster way on this device: our own machine code where there is some.

    Args:
        is_exact: Whether a lane's result must be the one it has alone, to the last bit.
        device: Where the maps are worked out.
    """
    found = processor_for(is_exact=is_exact, device=device)
    if found is not None:
        from hpsearch.layers.native_affine import NativeAffine

        return NativeAffine(found, is_exact=is_exact)
    return TorchAffine(Products(is_exact=is_exact, is_layout_free=True))


def processor_for(*, is_exact: bool, device: torch.device) -> Processor | None:
    """Return the processor whose machine code of our own is the faster way, if there is one.

    What may be rounded is left to torch where a processor multiplies matrices by tiles: its
    library makes use of them.

    Args:
        is_exact: As in :func:`affine_of`.
        device: As there.
    """
    found = processor() if device.type == "cpu" else None
    return found if found is not None and (is_exact or not found.has_tiles) else None
