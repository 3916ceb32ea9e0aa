"""Adam: steps scaled by running moments of the gradient."""

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
)
from hpsearch.optimizers.moments import moment_coefficients, moment_update

if TYPE_CHECKING:
    from torch import Tensor


@REGISTRY.register("adam")
class Adam(Optimizer):
    """torch.optim.Adam, the correction of the moments counted per lane."""

    buffers: ClassVar[tuple[str, ...]] = ("mean", "square")
    kernel: ClassVar[str | None] = "_fused_adam_"

    name: Literal["adam"] = "adam"
    learning_rate: LearningRate = 1e-3
    beta1: Beta1 = 0.9
    beta2: Beta2 = 0.999
    eps: Epsilon = 1e-8

    def coefficients(
        self, learning_rate: NDArray[np.float64], step: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return decay rates and the corrected step size."""
        return moment_coefficients(self.beta1, self.beta2, self.eps, learning_rate, step)

    @staticmethod
    def update(
        weight: "Tensor",
        gradient: "Tensor",
        buffers: Sequence["Tensor"],
        c: Mapping[str, "Tensor"],
    ) -> None:
        """Step by mean / root of the mean square."""
        moment_update(weight, gradient, buffers, c)

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
        """Call torch's kernel."""
        import torch

        torch._fused_adam_(
            weights,
            gradients,
            buffers[0],
            buffers[1],
            [],
            [step] * len(weights),
            lr=learning_rate,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=l2,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )
