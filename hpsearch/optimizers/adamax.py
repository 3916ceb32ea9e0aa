"""Adamax: Adam with the largest gradient of late in place of the mean square."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.optimizers.base import (
    REGISTRY,
    Beta1,
    Beta2,
    Epsilon,
    LearningRate,
    Optimizer,
    constant,
)

if TYPE_CHECKING:
    from torch import Tensor


@REGISTRY.register("adamax")
class Adamax(Optimizer):
    """torch.optim.Adamax."""

    buffers: ClassVar[tuple[str, ...]] = ("mean", "largest")
    kernel: ClassVar[str | None] = "_foreach_maximum_"
    pays_from: ClassVar[int] = 65_536  # below, starting two dozen kernels a lane costs more

    name: Literal["adamax"] = "adamax"
    learning_rate: LearningRate = 2e-3
    beta1: Beta1 = 0.9
    beta2: Beta2 = 0.999
    eps: Epsilon = 1e-8

    def coefficients(
        self, learning_rate: NDArray[np.float64], step: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return decay rates and the corrected step size."""
        return {
            "beta1": constant(self.beta1, step),
            "beta2": constant(self.beta2, step),
            "new1": constant(1 - self.beta1, step),
            "step_size": learning_rate / (1 - self.beta1**step),
            "eps": constant(self.eps, step),
        }

    @staticmethod
    def update(
        weight: "Tensor",
        gradient: "Tensor",
        buffers: Sequence["Tensor"],
        c: Mapping[str, "Tensor"],
    ) -> None:
        """Step by mean / largest."""
        mean, largest = buffers
        mean.mul_(c["beta1"]).addcmul_(gradient, c["new1"])
        largest.mul_(c["beta2"])
        largest.copy_(largest.maximum(gradient.abs().add_(c["eps"])))
        weight.addcdiv_(mean * c["step_size"], largest, value=-1)

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
        """Call torch's operations on lists: it has no kernel for the rule as a whole."""
        import torch

        mean, largest = buffers
        if l2:
            torch._foreach_add_(gradients, weights, alpha=l2)
        torch._foreach_lerp_(mean, gradients, 1 - self.beta1)
        torch._foreach_mul_(largest, self.beta2)
        torch._foreach_abs_(gradients)
        torch._foreach_add_(gradients, self.eps)
        torch._foreach_maximum_(largest, gradients)
        step_size = learning_rate / (1 - self.beta1 ** float(step))
        torch._foreach_addcdiv_(weights, mean, largest, value=-step_size)
