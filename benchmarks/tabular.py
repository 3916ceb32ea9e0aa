"""Two tables of scikit-learn as data sets, so that a benchmark can search on them by name."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine

from hpsearch.datasets.base import REGISTRY, Arrays, Dataset
from hpsearch.spec.sections import DatasetInfo, Task

NAMES = ("breast_cancer", "wine")


class _Table(Dataset):
    table: ClassVar[Any]

    def info(self) -> DatasetInfo:
        """Return the facts of the table."""
        return DatasetInfo(
            name=self.name,  # type: ignore[attr-defined]  # each table has its own
            task=Task.CLASSIFICATION,
            input_shape=self.table.data.shape[1:],
            n_outputs=len(self.table.target_names),
            has_test_split=False,
            n_examples=len(self.table.data),
        )

    def load(self, folder: Path) -> Arrays:  # noqa: ARG002 - comes with the library
        """Return the table; ``folder`` is not used."""
        x, y = self.table.data.astype(np.float32), self.table.target.astype(np.int64)
        return Arrays(x, y, len(self.table.target_names))


@REGISTRY.register("breast_cancer")
class BreastCancer(_Table):
    """569 tumours, 30 measurements each, two classes."""

    name: Literal["breast_cancer"] = "breast_cancer"
    table: ClassVar[Any] = load_breast_cancer()


@REGISTRY.register("wine")
class Wine(_Table):
    """178 wines, 13 measurements each, three classes."""

    name: Literal["wine"] = "wine"
    table: ClassVar[Any] = load_wine()
