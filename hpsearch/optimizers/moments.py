"""Running mean and mean square of the gradient: the step that Adam and AdamW share."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpsearch.optimizers.base import constant

if TYPE_CHECKING:
    from torch import Tensor


def moment_coefficients(
    beta1: float,
    beta2: float,
    eps: float,
    learning_rate: NDArray[np.float64],
    step: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    """Return decay rates, the corrected step size and eps."""
    return {
        "beta1": constant(beta1, step),
        "beta2": constant(beta2, step),
        "new1": constant(1 - beta1, step),
        "new2": constant(1 - beta2, step),
        "step_size": learning_rate / (1 - beta1**step),
        "root_correction": np.sqrt(1 - beta2**step),
        "eps": constant(eps, step),
    }


def moment_update(
    weight: "Tensor", gradient: "Tensor", buffers: Sequence["Tensor"], c: Mapping[str, "Tensor"]
) -> None:
    """Step by mean / root of the mean square, both corrected for their start at zero."""
    mean, square = buffers
    mean.mul_(c["beta1"]).addcmul_(gradient, c["new1"])
    square.mul_(c["beta2"]).addcmul_(gradient * c["new2"], gradient)
    spread = square.sqrt().div_(c["root_correction"]).add_(c["eps"])
    weight.addcdiv_(mean * c["step_size"], spread, value=-1)
