"""RMSprop: steps scaled by the running size of the gradient."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.optimizers.base import (
    REGISTRY,
    Epsilon,
    LearningRate,
    Momentum,
    Optimizer,
    constant,
)
from hpsearch.spec.fields import Searchable

if TYPE_CHECKING:
    from torch import Tensor


@REGISTRY.register("rmsprop")
class RmsProp(Optimizer):
    """torch.optim.RMSprop, not centred."""

    buffers: ClassVar[tuple[str, ...]] = ("square", "momentum")
    kernel: ClassVar[str | None] = "_fused_adam_"

    name: Literal["rmsprop"] = "rmsprop"
    learning_rate: LearningRate = 0.01
    momentum: Momentum = 0.0
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
        step: "Tensor",  # noqa: ARG002 - the rule counts none
        l2: float,
    ) -> None:
        """Call Adam's kernel: at a late step, with no memory of the mean, it is this rule.

        With momentum it adds the scaled gradient to the momentum, which the weights then follow.
        """
        import torch

        stepped, rate, decay = weights, learning_rate, l2
        if self.momentum:
            if l2:
                torch._foreach_add_(gradients, weights, alpha=l2)
            torch._foreach_mul_(buffers[1], self.momentum)
            stepped, rate, decay = buffers[1], -1.0, 0.0
        torch._fused_adam_(
            stepped,
            gradients,
            gradients,  # where the kernel writes the mean: each gradient in place of itself
            buffers[0],
            [],
            [_late_step()] * len(weights),
            lr=rate,
            beta1=0.0,
            beta2=self.alpha,
            weight_decay=decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )
        if self.momentum:
            torch._foreach_add_(weights, buffers[1], alpha=-learning_rate)


@cache
def _late_step() -> "Tensor":
    """Return the number of a step at which Adam corrects its mean square by nothing any more."""
    import torch

    return torch.tensor(1e30, dtype=torch.float32)
