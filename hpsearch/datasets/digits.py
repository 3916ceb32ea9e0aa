"""1,797 handwritten digits of 8x8 pixels: the file scikit-learn ships, read without it."""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hpsearch.datasets.base import REGISTRY, Arrays, Dataset, class_numbers
from hpsearch.errors import DatasetUnavailable
from hpsearch.spec.sections import DatasetInfo, Task

_N_EXAMPLES = 1797
_SIDE = 8
_CLASSES = 10


@REGISTRY.register("digits")
class Digits(Dataset):
    """Pixels are counts from 0 to 16, so they are treated as measurements, not as bytes."""

    def info(self) -> DatasetInfo:
        """Return the facts of the data set."""
        return DatasetInfo(
            name="digits",
            task=Task.CLASSIFICATION,
            input_shape=(_SIDE, _SIDE),
            n_outputs=_CLASSES,
            has_test_split=False,
            n_examples=_N_EXAMPLES,
            description="1,797 handwritten digits of 8x8 pixels, part of the installation",
        )

    def load(self, folder: Path) -> Arrays:  # noqa: ARG002 - part of the installation
        """Return all examples; ``folder`` is not used."""
        path = _shipped_file()
        try:
            with gzip.open(path, "rt", encoding="ascii") as file:
                table = np.loadtxt(file, delimiter=",", dtype=np.float32)
        except (OSError, EOFError, ValueError) as error:
            raise DatasetUnavailable(f"cannot read the digits in {path}: {error}") from error
        if table.shape != (_N_EXAMPLES, _SIDE * _SIDE + 1):
            raise DatasetUnavailable(
                f"{path} should hold {_N_EXAMPLES} rows of {_SIDE * _SIDE + 1} columns, "
                f"it has the shape {table.shape}; reinstall scikit-learn"
            )
        pixels = np.ascontiguousarray(table[:, :-1]).reshape(-1, _SIDE, _SIDE)
        return Arrays(pixels, class_numbers(table[:, -1]), _CLASSES)


def _shipped_file() -> Path:
    spec = find_spec("sklearn")  # finds the package without running it: its import takes seconds
    if spec is None or spec.origin is None:
        raise DatasetUnavailable("the digits come with scikit-learn, which is not installed")
    return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
