"""The examples of a study on the device, whole: batches are picked by index."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpsearch.datasets.splits import Part, Splits
from hpsearch.spec.sections import Task


@dataclass(frozen=True, slots=True)
class ResidentPart:
    """One split on the device.

    Attributes:
        x: ``[examples, features]``, bytes or real numbers.
        y: Classes ``[examples]``, or targets ``[examples, outputs]``.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return self.x.shape[0]


class Resident:
    """Training, validation and test examples in the device's memory.

    Bytes stay bytes and become real numbers batch by batch, which costs nothing measurable and
    a quarter of the memory.

    Args:
        splits: What to hold.
        device: Where.
        dtype: Of the numbers a batch is made of.
    """

    def __init__(self, splits: Splits, *, device: torch.device, dtype: torch.dtype) -> None:
        self.splits = splits
        self.device = device
        self.dtype = dtype
        self.train = self._part(splits.train)
        self.validation = self._part(splits.validation)
        self.test = self._part(splits.test)

    def scaled(self, x: Tensor) -> Tensor:
        """Return stored inputs as the real numbers the network sees."""
        if x.dtype != torch.uint8:
            return x
        numbers = x.to(self.dtype)
        if self.splits.shift:
            numbers.sub_(self.splits.shift)
        return numbers.mul_(self.splits.factor)

    def _part(self, part: Part) -> ResidentPart:
        x = torch.from_numpy(part.x)
        x = x.to(self.device) if x.dtype == torch.uint8 else x.to(self.device, self.dtype)
        y = torch.from_numpy(part.y)
        is_classes = self.splits.task is Task.CLASSIFICATION
        return ResidentPart(x, y.to(self.device) if is_classes else y.to(self.device, self.dtype))
