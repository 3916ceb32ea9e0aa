"""Adam: steps scaled by running moments of the gradient."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.optimizers.base import (
    REGISTRY,
    Epsilon,
    Fraction,
    LearningRate,
    Optimizer,
    constant,
)

if TYPE_CHECKING:
    from torch import Tensor


@REGISTRY.register("adam")
class Adam(Optimizer):
    """torch.optim.Adam, the correction of the moments counted per lane."""

    buffers: ClassVar[tuple[str, ...]] = ("mean", "square")

    name: Literal["adam"] = "adam"
    learning_rate: LearningRate = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Epsilon = 1e-8

    def coefficients(
        self, learning_rate: NDArray[np.float64], step: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return decay rates and the corrected step size."""
        return adam_coefficients(self.beta1, self.beta2, self.eps, learning_rate, step)

    @staticmethod
    def update(
        weight: "Tensor",
        gradient: "Tensor",
        buffers: Sequence["Tensor"],
        c: Mapping[str, "Tensor"],
    ) -> None:
        """Step by mean / root of the mean square."""
        adam_update(weight, gradient, buffers, c)


def adam_coefficients(
    beta1: float,
    beta2: float,
    eps: float,
    learning_rate: NDArray[np.float64],
    step: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    """Return the coefficients that Adam and AdamW share."""
    return {
        "beta1": constant(beta1, step),
        "beta2": constant(beta2, step),
        "new1": constant(1 - beta1, step),
        "new2": constant(1 - beta2, step),
        "step_size": learning_rate / (1 - beta1**step),
        "root_correction": np.sqrt(1 - beta2**step),
        "eps": constant(eps, step),
    }


def adam_update(
    weight: "Tensor", gradient: "Tensor", buffers: Sequence["Tensor"], c: Mapping[str, "Tensor"]
) -> None:
    """Take the step that Adam and AdamW share."""
    mean, square = buffers
    mean.mul_(c["beta1"]).addcmul_(gradient, c["new1"])
    square.mul_(c["beta2"]).addcmul_(gradient * c["new2"], gradient)
    spread = square.sqrt().div_(c["root_correction"]).add_(c["eps"])
    weight.addcdiv_(mean * c["step_size"], spread, value=-1)
