"""RMSprop: steps scaled by the running size of the gradient."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.optimizers.base import (
    REGISTRY,
    Epsilon,
    Fraction,
    LearningRate,
    Optimizer,
    constant,
)
from hpsearch.spec.fields import Searchable

if TYPE_CHECKING:
    from torch import Tensor

_LATE = 1e30  # steps after which Adam corrects its mean square by nothing


@REGISTRY.register("rmsprop")
class RmsProp(Optimizer):
    """torch.optim.RMSprop, not centred."""

    buffers: ClassVar[tuple[str, ...]] = ("square", "momentum")
    kernel: ClassVar[str | None] = "_fused_adam_"

    name: Literal["rmsprop"] = "rmsprop"
    learning_rate: LearningRate = 0.01
    momentum: Fraction = 0.0
    alpha: Annotated[
        float, Field(ge=0, lt=1, description="memory of the mean square"), Searchable()
    ] = 0.99
    eps: Epsilon = 1e-8

    def coefficients(
        self, learning_rate: NDArray[np.float64], step: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return learning rate, momentum, memory and eps."""
        return {
            "learning_rate": learning_rate,
            "momentum": constant(self.momentum, step),
            "alpha": constant(self.alpha, step),
            "new": constant(1 - self.alpha, step),
            "eps": constant(self.eps, step),
        }

    @staticmethod
    def update(
        weight: "Tensor",
        gradient: "Tensor",
        buffers: Sequence["Tensor"],
        c: Mapping[str, "Tensor"],
    ) -> None:
        """Step along the momentum of the scaled gradient."""
        square, momentum = buffers
        square.mul_(c["alpha"]).addcmul_(gradient * c["new"], gradient)
        momentum.mul_(c["momentum"]).addcdiv_(gradient, square.sqrt().add_(c["eps"]))
        weight.addcmul_(momentum, c["learning_rate"], value=-1)

    def update_lane(
        self,
        weights: list["Tensor"],
        gradients: list["Tensor"],
        buffers: Sequence[list["Tensor"]],
        *,
        learning_rate: float,
        step: "Tensor",
        l2: float,
    ) -> None:
        """Call Adam's kernel: without momentum, at a late step, it is this rule."""
        import torch

        if self.momentum:
            self._step(weights, gradients, buffers, learning_rate=learning_rate, l2=l2)
            return
        torch._fused_adam_(
            weights,
            gradients,
            buffers[1],
            buffers[0],
            [],
            [torch.full_like(step, _LATE)] * len(weights),
            lr=learning_rate,
            beta1=0.0,
            beta2=self.alpha,
            weight_decay=l2,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def _step(
        self,
        weights: list["Tensor"],
        gradients: list["Tensor"],
        buffers: Sequence[list["Tensor"]],
        *,
        learning_rate: float,
        l2: float,
    ) -> None:
        """Step along the momentum, tensor by tensor: each is in the cache after its first pass."""
        for weight, gradient, square, momentum in zip(weights, gradients, *buffers, strict=True):
            if l2:
                gradient.add_(weight, alpha=l2)
            square.mul_(self.alpha).addcmul_(gradient, gradient, value=1 - self.alpha)
            momentum.mul_(self.momentum).addcdiv_(gradient, square.sqrt().add_(self.eps))
            weight.add_(momentum, alpha=-learning_rate)
