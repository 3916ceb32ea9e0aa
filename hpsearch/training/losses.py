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
from hpsearch.layers.native_kernels import kernel_of
from hpsearch.native.library import launch
from hpsearch.native.processor import processor
from hpsearch.spec.sections import Task

_MOST_IN_KERNEL = 2048  # classes: more of them do not fit the registers of one program


class Loss(ABC):
    """A loss over lanes. Nothing is ever reduced over the lane axis.

    Attributes:
        n_sums: Numbers accumulated per lane.
        batch_axis: Axis of the targets along which examples follow each other, from behind.
    """

    n_sums: int
    batch_axis: int

    def gradient(self, z: Tensor, y: Tensor, smoothing: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the gradient of each lane's mean loss, and the batch's sums.

        Args:
            z: Outputs ``[lanes, outputs, batch]``; may be overwritten.
            y: Targets of a batch all lanes share, or with a lane axis in front.
            smoothing: Label smoothing per lane, ``[lanes, 1, 1]``, or None.
        """
        a_batch = y.reshape(1, -1, *y.shape[self.batch_axis :])
        d, seen = self.slope(z, self.aims(a_batch, z, smoothing)[0])
        return d, self.tally(seen, y)

    def has_kernel(self, dtype: torch.dtype) -> bool:  # noqa: ARG002 - for losses that do
        """Return whether there is :meth:`add_gradient` on a CPU, for outputs of this type."""
        return False

    def add_gradient(self, z: Tensor, y: Tensor, smoothing: Tensor, sums: Tensor) -> Tensor:
        """Return the gradient as :meth:`gradient` does; add the batch's sums to ``sums``.

        Args:
            z: Outputs ``[lanes, outputs, batch]``, in memory example by example.
            y: Targets ``[1, batch, ...]`` of a batch all lanes share, or ``[lanes, batch, ...]``.
            smoothing: Label smoothing per lane, ``[lanes]``.
            sums: ``[lanes, n_sums]``, float64, contiguous.
        """
        raise NotImplementedError

    @abstractmethod
    def aims(self, y: Tensor, like: Tensor, smoothing: Tensor | None) -> Tensor:
        """Return what :meth:`slope` reads of targets, a batch in each entry: all of one size.

        Args:
            y: Targets ``[batches, 1, batch, ...]`` that all lanes share, or with a lane axis
                instead of the 1.
            like: ``[lanes, outputs, ...]`` of the dtype of the outputs.
            smoothing: As in :meth:`gradient`.
        """

    @abstractmethod
    def slope(self, z: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient alone, as :meth:`gradient`, and what :meth:`tally` reads."""

    @abstractmethod
    def tally(self, seen: Tensor, y: Tensor) -> Tensor:
        """Return the sums ``[lanes, n_sums]`` (float64) of a batch, or of several joined.

        Args:
            seen: What :meth:`slope` left, ``[lanes, outputs, examples]``.
            y: Targets of these examples.
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
    batch_axis = -1

    def gradient(self, z: Tensor, y: Tensor, smoothing: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return (softmax - target) / batch and the sums."""
        if z.shape[1] <= _MOST_IN_KERNEL and has_kernels(z.device.type):
            from hpsearch.training.kernels import loss

            return loss.cross_entropy(z, y, smoothing)
        return super().gradient(z, y, smoothing)

    def has_kernel(self, dtype: torch.dtype) -> bool:
        """Return whether one was made for this processor."""
        return dtype in (torch.float32, torch.float64) and processor() is not None

    def add_gradient(self, z: Tensor, y: Tensor, smoothing: Tensor, sums: Tensor) -> Tensor:
        """Work out gradient, loss and hits in one pass."""
        found = processor()
        assert found is not None  # noqa: S101 - what has_kernel says
        rows = z.transpose(1, 2).contiguous()
        n_lanes, batch, n_classes = rows.shape
        d = torch.empty_like(rows)
        y = y if y.stride(-1) == 1 else y.contiguous()
        arguments = (
            n_lanes,
            batch,
            n_classes,
            rows.data_ptr(),
            d.data_ptr(),
            y.data_ptr(),
            0 if y.shape[0] == 1 else y.stride(0) * y.element_size(),
            smoothing.data_ptr(),
            sums.data_ptr(),
        )
        work = kernel_of(found, "cross_entropy", rows.dtype)
        launch(work, arguments, (rows, d, y, smoothing, sums))
        return d.transpose(1, 2)

    def aims(self, y: Tensor, like: Tensor, smoothing: Tensor | None) -> Tensor:
        """Return the gradient with respect to the logarithms of the softmax: -target / batch."""
        (n_lanes, n_classes), (n_batches, _, batch) = like.shape[:2], y.shape
        aims = like.new_zeros((n_batches, n_lanes, n_classes, batch))
        index = y[:, :, None].expand(n_batches, n_lanes, 1, batch)
        if smoothing is None:
            return aims.scatter_(2, index, -1 / batch)
        on = ((smoothing - 1) / batch).expand(n_batches, n_lanes, 1, batch)
        return aims.scatter_(2, index, on).sub_(smoothing / (n_classes * batch))

    def slope(self, z: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
        """Return (softmax - target) / batch, and the logarithms of the softmax."""
        log_p = torch.log_softmax(z, 1)
        return torch._log_softmax_backward_data(aim, log_p, 1, z.dtype), log_p

    def tally(self, seen: Tensor, y: Tensor) -> Tensor:
        """Return loss and hits."""
        n_lanes, _, n_examples = seen.shape
        index = y.reshape(-1, 1, n_examples).expand(n_lanes, 1, n_examples)
        hits = seen.max(1, keepdim=True).indices == index  # argmax is ten times as slow on a CPU
        return torch.cat((seen.gather(1, index).neg_(), hits), 1).sum(2, dtype=torch.float64)

    def sums(self, z: Tensor, y: Tensor) -> Tensor:
        """Return loss and hits of a shared batch."""
        return self.tally(log_softmax(z, 1), y)

    def metrics(self, sums: NDArray[Any], n_examples: int, split: str) -> dict[str, float]:
        """Return loss and accuracy."""
        return {
            f"{split}_loss": float(sums[0]) / n_examples,
            f"{split}_accuracy": float(sums[1]) / n_examples,
        }


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
        self.batch_axis = -2
        self._scale = target_scale
        self._spread = spread

    def aims(self, y: Tensor, like: Tensor, smoothing: Tensor | None) -> Tensor:  # noqa: ARG002 - classes only
        """Return the targets, outputs first."""
        return y.transpose(-1, -2)

    def slope(self, z: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
        """Return 2 (z - y) / (batch · outputs), and z - y."""
        error = z.sub_(aim)
        return error * (2 / (error.shape[1] * error.shape[2])), error

    def tally(self, seen: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002 - it is in the errors
        """Return the squared errors."""
        return seen.square().sum(2, dtype=torch.float64)

    def sums(self, z: Tensor, y: Tensor) -> Tensor:
        """Return the squared errors of a shared batch."""
        return self.tally(z.sub_(y.transpose(-1, -2)), y)

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
