"""What is minimised, per lane: its gradient, and the sums from which metrics are made."""

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax

from hpsearch.datasets.splits import Splits
from hpsearch.layers.compiler import has_kernels
from hpsearch.spec.sections import Task

_MOST_IN_KERNEL = 2048  # classes: more of them do not fit the registers of one program


class Loss(ABC):
    """A loss over lanes. Nothing is ever reduced over the lane axis.

    Attributes:
        n_sums: Numbers accumulated per lane.
    """

    n_sums: int

    @abstractmethod
    def gradient(self, z: Tensor, y: Tensor, smoothing: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the gradient of each lane's mean loss, and the batch's sums.

        Args:
            z: Outputs ``[lanes, outputs, batch]``; may be overwritten.
            y: Targets of a batch all lanes share, or with a lane axis in front.
            smoothing: Label smoothing per lane, ``[lanes, 1, 1]``, or None.
        """

    @abstractmethod
    def sums(self, z: Tensor, y: Tensor) -> Tensor:
        """Return the sums ``[lanes, n_sums]`` (float64) of a batch that all lanes share."""

    @abstractmethod
    def metrics(self, sums: NDArray[Any], n_examples: int, split: str) -> dict[str, float]:
        """Return one lane's metrics, named ``{split}_loss`` and so on."""


class CrossEntropy(Loss):
    """Softmax cross-entropy; sums are the loss and the examples classified right."""

    n_sums = 2

    def gradient(self, z: Tensor, y: Tensor, smoothing: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return (softmax - target) / batch and the sums."""
        if z.shape[1] <= _MOST_IN_KERNEL and has_kernels(z.device.type):
            from hpsearch.training.kernels import loss

            return loss.cross_entropy(z, y, smoothing)
        n_lanes, n_classes, batch = z.shape
        log_p = log_softmax(z, 1)
        sums = self._sums(log_p, y)
        d = log_p.exp_()
        index = y.reshape(-1, 1, batch).expand(n_lanes, 1, batch)
        if smoothing is None:
            d.scatter_add_(1, index, d.new_full((), -1.0).expand(n_lanes, 1, batch))
        else:
            d.scatter_add_(1, index, (smoothing - 1).expand(n_lanes, 1, batch))
            d.sub_(smoothing / n_classes)
        return d.mul_(1 / batch), sums

    def sums(self, z: Tensor, y: Tensor) -> Tensor:
        """Return loss and hits of a shared batch."""
        return self._sums(log_softmax(z, 1), y)

    def metrics(self, sums: NDArray[Any], n_examples: int, split: str) -> dict[str, float]:
        """Return loss and accuracy."""
        return {
            f"{split}_loss": float(sums[0]) / n_examples,
            f"{split}_accuracy": float(sums[1]) / n_examples,
        }

    @staticmethod
    def _sums(log_p: Tensor, y: Tensor) -> Tensor:
        n_lanes, _, batch = log_p.shape
        index = y.reshape(-1, 1, batch).expand(n_lanes, 1, batch)
        hits = log_p.max(1, keepdim=True).indices == index  # argmax is ten times as slow on a CPU
        return torch.cat((log_p.gather(1, index).neg_(), hits), 1).sum(2, dtype=torch.float64)


class SquaredError(Loss):
    """Mean squared error of targets scaled to variance 1; sums are one per target column.

    Args:
        target_scale: Deviation of each column, to speak of errors in the target's own unit.
        spread: Per split, the mean squared distance of each scaled column from its mean.
    """

    def __init__(
        self, target_scale: NDArray[np.float64], spread: dict[str, NDArray[np.float64]]
    ) -> None:
        self.n_sums = len(target_scale)
        self._scale = target_scale
        self._spread = spread

    def gradient(self, z: Tensor, y: Tensor, smoothing: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - classes only
        """Return 2 (z - y) / (batch · outputs) and the sums."""
        error = z.sub_(y.transpose(-1, -2))
        sums = error.square().sum(2).double()
        return error.mul_(2 / (error.shape[1] * error.shape[2])), sums

    def sums(self, z: Tensor, y: Tensor) -> Tensor:
        """Return the squared errors of a shared batch."""
        return z.sub_(y.transpose(-1, -2)).square_().sum(2).double()

    def metrics(self, sums: NDArray[Any], n_examples: int, split: str) -> dict[str, float]:
        """Return loss (in units of the target's variance), rmse (in its own), and r2."""
        per_column = np.asarray(sums, np.float64) / n_examples
        metrics = {
            f"{split}_loss": float(per_column.mean()),
            f"{split}_rmse": math.sqrt(float((per_column * self._scale**2).mean())),
        }
        if split in self._spread:
            metrics[f"{split}_r2"] = float((1 - per_column / self._spread[split]).mean())
        return metrics


def loss_of(splits: Splits) -> Loss:
    """Return the loss that the task of these splits calls for."""
    if splits.task is Task.CLASSIFICATION:
        return CrossEntropy()
    spread = {
        "val": _spread(splits.validation.y),
        "test": _spread(splits.test.y),
    }
    return SquaredError(splits.target_scale, spread)


def _spread(y: NDArray[Any]) -> NDArray[np.float64]:
    variance = np.asarray(y, np.float64).var(0)
    return np.where(variance > 0, variance, 1.0)
