"""AdamW: Adam whose weights decay by themselves, apart from the gradient."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.optimizers.base import REGISTRY, Beta1, Beta2, Epsilon, LearningRate, Optimizer
from hpsearch.optimizers.moments import moment_coefficients, moment_update
from hpsearch.spec.fields import Searchable

if TYPE_CHECKING:
    from torch import Tensor


@REGISTRY.register("adamw")
class AdamW(Optimizer):
    """torch.optim.AdamW: W *= 1 - learning_rate·weight_decay, then Adam's step."""

    buffers: ClassVar[tuple[str, ...]] = ("mean", "square")
    kernel: ClassVar[str | None] = "_fused_adamw_"
    takes_l2: ClassVar[bool] = False  # its decay is decoupled from the gradient

    name: Literal["adamw"] = "adamw"
    learning_rate: LearningRate = 1e-3
    beta1: Beta1 = 0.9
    beta2: Beta2 = 0.999
    eps: Epsilon = 1e-8
    weight_decay: Annotated[
        float, Field(ge=0, le=100, description="decoupled, of all parameters"), Searchable()
    ] = 0.01

    def coefficients(
        self, learning_rate: NDArray[np.float64], step: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return Adam's coefficients and the factor of the decay."""
        shared = moment_coefficients(self.beta1, self.beta2, self.eps, learning_rate, step)
        return {**shared, "keep": 1 - learning_rate * self.weight_decay}

    @staticmethod
    def update(
        weight: "Tensor",
        gradient: "Tensor",
        buffers: Sequence["Tensor"],
        c: Mapping[str, "Tensor"],
    ) -> None:
        """Decay, then step as Adam."""
        weight.mul_(c["keep"])
        moment_update(weight, gradient, buffers, c)

    def update_lane(
        self,
        weights: list["Tensor"],
        gradients: list["Tensor"],
        buffers: Sequence[list["Tensor"]],
        *,
        learning_rate: float,
        step: "Tensor",
        l2: float,  # noqa: ARG002 - takes_l2 is False
    ) -> None:
        """Call torch's kernel."""
        import torch

        torch._fused_adamw_(
            weights,
            gradients,
            buffers[0],
            buffers[1],
            [],
            [step] * len(weights),
            lr=learning_rate,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=self.weight_decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )
