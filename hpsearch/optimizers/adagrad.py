"""Adagrad: steps that shrink with all the gradients seen so far."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.optimizers.base import REGISTRY, Epsilon, LearningRate, Optimizer, constant

if TYPE_CHECKING:
    from torch import Tensor


@REGISTRY.register("adagrad")
class Adagrad(Optimizer):
    """torch.optim.Adagrad without decay of the learning rate."""

    buffers: ClassVar[tuple[str, ...]] = ("square",)
    kernel: ClassVar[str | None] = "_fused_adagrad_"

    name: Literal["adagrad"] = "adagrad"
    learning_rate: LearningRate = 0.01
    eps: Epsilon = 1e-10

    def coefficients(
        self, learning_rate: NDArray[np.float64], step: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return learning rate and eps."""
        return {"learning_rate": learning_rate, "eps": constant(self.eps, step)}

    @staticmethod
    def update(
        weight: "Tensor",
        gradient: "Tensor",
        buffers: Sequence["Tensor"],
        c: Mapping[str, "Tensor"],
    ) -> None:
        """Step by the gradient over the root of all squares."""
        (square,) = buffers
        square.addcmul_(gradient, gradient)
        spread = square.sqrt().add_(c["eps"])
        weight.addcdiv_(gradient * c["learning_rate"], spread, value=-1)

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

        torch._fused_adagrad_(
            weights,
            gradients,
            buffers[0],
            [step] * len(weights),
            lr=learning_rate,
            lr_decay=0.0,
            weight_decay=l2,
            eps=self.eps,
            maximize=False,
        )
