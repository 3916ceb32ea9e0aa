"""The activation functions of hidden layers, with their derivatives."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from hpsearch.layers.ways import order_of

_LEAK = 0.01  # torch's and the contract's


class Activation(ABC):
    """One function, applied in place where that is possible.

    ``keeps_zero`` says that f(0) = 0, so that padding stays zero by itself; the others need a
    mask on their output. ``flat_ends`` are the values it flattens towards, if it has two.
    """

    name: ClassVar[str]
    keeps_zero: ClassVar[bool] = True
    flat_ends: ClassVar[tuple[float, float] | None] = None

    @abstractmethod
    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and what :meth:`backward` needs; ``z`` may be overwritten."""

    @abstractmethod
    def backward(self, d: Tensor, saved: Tensor) -> Tensor:
        """Return the gradient of the input, given that of the output."""

    @abstractmethod
    def plain(self) -> nn.Module:
        """Return torch's own module of this function."""


class Relu(Activation):
    """max(z, 0)."""

    name = "relu"

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output twice: it tells where the gradient passes."""
        h = z.relu_()
        return h, h

    def backward(self, d: Tensor, saved: Tensor) -> Tensor:
        """Let the gradient pass where the output is positive."""
        return torch.ops.aten.threshold_backward(d, saved, 0)  # type: ignore[no-any-return] # untyped torch.ops

    def plain(self) -> nn.Module:
        """Return ``nn.ReLU``."""
        return nn.ReLU()


class LeakyRelu(Activation):
    """z, or 0.01 z where it is negative."""

    name = "leaky_relu"

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output twice: it has the sign of the input."""
        h = nn.functional.leaky_relu_(z, _LEAK)
        return h, h

    def backward(self, d: Tensor, saved: Tensor) -> Tensor:
        """Scale the gradient where the output is negative."""
        return torch.ops.aten.leaky_relu_backward(d, saved, _LEAK, True)  # type: ignore[no-any-return] # untyped torch.ops

    def plain(self) -> nn.Module:
        """Return ``nn.LeakyReLU``."""
        return nn.LeakyReLU(_LEAK)


class Tanh(Activation):
    """The hyperbolic tangent."""

    name = "tanh"
    flat_ends = (-1.0, 1.0)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output twice: it gives the derivative."""
        h = z.tanh_()
        return h, h

    def backward(self, d: Tensor, saved: Tensor) -> Tensor:
        """Multiply by 1 - h²."""
        return torch.ops.aten.tanh_backward(d, saved)  # type: ignore[no-any-return] # untyped torch.ops

    def plain(self) -> nn.Module:
        """Return ``nn.Tanh``."""
        return nn.Tanh()


class Sigmoid(Activation):
    """1 / (1 + exp(-z)), a half at zero: padding needs a mask."""

    name = "sigmoid"
    keeps_zero = False
    flat_ends = (0.0, 1.0)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output twice: it gives the derivative."""
        h = sigmoid_(z)
        return h, h

    def backward(self, d: Tensor, saved: Tensor) -> Tensor:
        """Multiply by h (1 - h)."""
        return torch.ops.aten.sigmoid_backward(d, saved)  # type: ignore[no-any-return] # untyped torch.ops

    def plain(self) -> nn.Module:
        """Return ``nn.Sigmoid``."""
        return nn.Sigmoid()


class Gelu(Activation):
    """z Φ(z), exact, not by tanh."""

    name = "gelu"

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and the input kept for the derivative."""
        return _as_it_stands(nn.functional.gelu, z), z

    def backward(self, d: Tensor, saved: Tensor) -> Tensor:
        """Multiply by Φ(z) + z φ(z)."""
        return _as_it_stands(lambda z, d: torch.ops.aten.gelu_backward(d, z), saved, d)

    def plain(self) -> nn.Module:
        """Return ``nn.GELU``."""
        return nn.GELU()


def _as_it_stands(function: Callable[..., Tensor], z: Tensor, *others: Tensor) -> Tensor:
    """Return a function of every number, worked out in the order the first tensor has in memory.

    To a tensor whose axes stand in another order torch applies other kernels, which round some
    numbers by their place: by how many lanes there are.
    """
    order = order_of(z)
    result = function(*(tensor.permute(order).contiguous() for tensor in (z, *others)))
    return result.permute([order.index(axis) for axis in range(z.dim())])


def sigmoid_(z: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-z)), worked out in place.

    Written out on a CPU, where torch.sigmoid rounds an element by its place in the tensor.
    """
    if z.is_cuda:
        return z.sigmoid_()
    return z.neg_().exp_().add_(1).reciprocal_()


_ACTIVATIONS: dict[str, type[Activation]] = {
    one.name: one for one in (Relu, LeakyRelu, Tanh, Sigmoid, Gelu)
}


def activation(name: str) -> Activation:
    """Return the activation of that name."""
    return _ACTIVATIONS[name]()
