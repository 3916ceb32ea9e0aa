"""Stochastic gradient descent with momentum, plain or Nesterov's."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.optimizers.base import REGISTRY, LearningRate, Momentum, Optimizer, constant
from hpsearch.spec.fields import Searchable

if TYPE_CHECKING:
    from torch import Tensor


@REGISTRY.register("sgd")
class Sgd(Optimizer):
    """torch.optim.SGD: v = momentum·v + g; W -= learning_rate·v."""

    buffers: ClassVar[tuple[str, ...]] = ("momentum",)
    optional: ClassVar[frozenset[str]] = frozenset({"nesterov", "lookahead"})
    kernel: ClassVar[str | None] = "_fused_sgd_"

    name: Literal["sgd"] = "sgd"
    learning_rate: LearningRate = 0.01
    momentum: Momentum = 0.0
    nesterov: Annotated[
        bool, Field(description="look ahead; at momentum 0 plain sgd"), Searchable()
    ] = False

    def coefficients(
        self, learning_rate: NDArray[np.float64], step: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return learning rate, momentum, and the momentum to look ahead by."""
        return {
            "learning_rate": learning_rate,
            "momentum": constant(self.momentum, step),
            "lookahead": constant(self.momentum if self.nesterov else 0.0, step),
            "nesterov": constant(self.nesterov and self.momentum > 0, step),
        }

    @staticmethod
    def update(
        weight: "Tensor",
        gradient: "Tensor",
        buffers: Sequence["Tensor"],
        c: Mapping[str, "Tensor"],
    ) -> None:
        """Step along the momentum, or beyond it where the lane looks ahead."""
        (momentum,) = buffers
        momentum.mul_(c["momentum"]).add_(gradient)
        if "lookahead" in c:  # some lane looks ahead
            ahead = gradient.addcmul_(momentum, c["lookahead"])
            direction = ahead.where(c["nesterov"] > 0, momentum)
        else:
            direction = momentum
        weight.addcmul_(direction, c["learning_rate"], value=-1)

    def update_lane(
        self,
        weights: list["Tensor"],
        gradients: list["Tensor"],
        buffers: Sequence[list["Tensor"]],
        *,
        learning_rate: float,
        step: "Tensor",  # noqa: ARG002 - the interface
        l2: float,
    ) -> None:
        """Call torch's kernel."""
        import torch

        torch._fused_sgd_(
            weights,
            gradients,
            buffers[0] if self.momentum else [],
            weight_decay=l2,
            momentum=self.momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=self.nesterov and self.momentum > 0,
            maximize=False,
            is_first_step=False,
        )
