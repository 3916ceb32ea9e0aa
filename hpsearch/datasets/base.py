"""What a data set promises: facts without I/O, examples on demand."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.registry import Registry
from hpsearch.spec.fields import Settings
from hpsearch.spec.sections import DatasetInfo

REGISTRY = Registry("hpsearch.datasets")


@dataclass(frozen=True, slots=True)
class Arrays:
    """The examples of a data set, as they are stored.

    Attributes:
        x_train: uint8 or float inputs, one example a row, any shape behind it.
        y_train: Class numbers (int64, ``[examples]``) or targets (float, ``[examples, outputs]``).
        n_outputs: Classes, or target columns.
        x_test: The data set's own test inputs, or None.
        y_test: Their labels, or None.
    """

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    n_outputs: int
    x_test: NDArray[Any] | None = None
    y_test: NDArray[Any] | None = None

    @property
    def has_test_split(self) -> bool:
        """Whether the data set came with a test split of its own."""
        return self.x_test is not None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(int(size) for size in self.x_train.shape[1:])


class Dataset(Settings, ABC):
    """One source of examples."""

    @abstractmethod
    def info(self) -> DatasetInfo:
        """Return what is known before loading; no I/O."""

    @abstractmethod
    def load(self, folder: Path) -> Arrays:
        """Return the examples, from ``folder`` or fetched into it.

        Raises:
            DatasetUnavailable: The files are absent and cannot be fetched, or are damaged;
                the message names the files and the folder.
        """


def class_numbers(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return labels as the int64 class numbers training expects."""
    return np.ascontiguousarray(labels, dtype=np.int64)
