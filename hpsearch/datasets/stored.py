"""Uploaded arrays on disk: one folder an upload, one plain NumPy file an array, no pickle."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.datasets.base import Arrays
from hpsearch.errors import DatasetUnavailable
from hpsearch.spec.sections import DatasetInfo, Task

FOLDER = "datasets"
"""Below the artifacts: the one place that every process of a cluster shares anyway."""

_TEST = ("x_test", "y_test")


@dataclass(frozen=True, slots=True)
class Understood:
    """What an upload turned out to be; its arrays lie in the folder they were written to.

    Attributes:
        task: As asked for, or inferred from the targets.
        input_shape: Shape of one example.
        n_outputs: Classes, or target columns.
        n_examples: Without those of a test split of its own.
        n_test_examples: Of its own test split; None if it has none.
        outputs: Names of the classes or target columns, where known.
        columns: What was found, for people: columns of a table or arrays of an archive.
        warnings: What is strange about it.
    """

    task: Task
    input_shape: tuple[int, ...]
    n_outputs: int
    n_examples: int
    n_test_examples: int | None = None
    outputs: tuple[str, ...] = ()
    columns: Sequence[dict[str, Any]] = ()
    warnings: Sequence[str] = field(default=())


def create_array(folder: Path, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a new array that lives in ``folder``; what is written to it goes to disk.

    The file's blocks are reserved first, so that a full disk is an error here and not a signal
    in the middle of a write.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    path = folder / f"{name}.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def load_stored(artifacts_dir: Path, info: DatasetInfo) -> Arrays:
    """Return the arrays of an uploaded data set; they stay on disk until they are indexed.

    Raises:
        DatasetUnavailable: They are not there, or damaged.
    """
    folder = artifacts_dir / FOLDER / str(info.stored)
    names = ("x_train", "y_train", *(_TEST if info.has_test_split else ()))
    try:
        arrays = {
            # what splits index stays on disk; a test split is used as it is
            name: np.load(
                folder / f"{name}.npy",
                mmap_mode=None if name in _TEST else "r",
                allow_pickle=False,
            )
            for name in names
        }
    except (OSError, ValueError, EOFError) as error:
        raise DatasetUnavailable(
            f"data set {info.name!r} was uploaded to the server, but this worker cannot read it "
            f"in {folder} ({type(error).__name__}): API and workers must share one artifacts "
            "folder, HPSEARCH_ARTIFACTS_URL"
        ) from error
    x, y = arrays["x_train"], arrays["y_train"]
    if x.shape != (info.n_examples, *info.input_shape) or len(y) != len(x):
        raise DatasetUnavailable(f"the arrays of data set {info.name!r} in {folder} are damaged")
    return Arrays(x, y, info.n_outputs, arrays.get("x_test"), arrays.get("y_test"))


def delete_stored(artifacts_dir: Path, key: str) -> None:
    """Delete the arrays of an uploaded data set, if they are there."""
    shutil.rmtree(artifacts_dir / FOLDER / key, ignore_errors=True)
