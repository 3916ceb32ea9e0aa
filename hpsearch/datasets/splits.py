"""Training, validation and test examples, and how their values are scaled."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.datasets.base import Arrays
from hpsearch.datasets.scaling import Scaling
from hpsearch.errors import TrialFailed
from hpsearch.spec.sections import DatasetSection, Task, share

_BYTE_MAX = 255.0
_BLOCK_VALUES = 1 << 20
_STREAMS = {"test": 1, "validation": 2, "train": 3}  # one random stream a cut


@dataclass(frozen=True, slots=True)
class Part:
    """Examples of one split, each flattened to a row.

    Attributes:
        x: ``[examples, features]``: uint8 as stored, or float32 already scaled.
        y: int64 classes ``[examples]``, or float64 targets ``[examples, outputs]`` scaled to
            mean 0 and variance 1 over the training examples.
    """

    x: NDArray[Any]
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True)
class Splits:
    """What a study trains on.

    Attributes:
        task: What the outputs mean.
        input_shape: Shape of one example before flattening.
        n_outputs: Classes, or target columns.
        train: Examples to train on.
        validation: Examples every epoch is judged by.
        test: Examples looked at once, at a trial's best epoch.
        shift: Subtracted from uint8 inputs (0.0 for float ones, which are scaled here).
        factor: Multiplies uint8 inputs afterwards (1.0 for float ones).
        target_scale: Deviation of each target column (1.0 for classes).
        scaling: All of it, for whoever brings raw values to a trained network.
    """

    task: Task
    input_shape: tuple[int, ...]
    n_outputs: int
    train: Part
    validation: Part
    test: Part
    shift: float
    factor: float
    target_scale: NDArray[np.float64]
    scaling: Scaling

    @property
    def n_inputs(self) -> int:
        """Features of one flattened example."""
        return int(self.train.x.shape[1])


def split(arrays: Arrays, section: DatasetSection, task: Task) -> Splits:
    """Cut and scale a data set as its section says.

    The cuts depend on ``split_seed`` alone. Each is the front of one random sequence in which
    the classes stay balanced, so that a smaller ``train_fraction`` gives a subset of a larger.

    Raises:
        TrialFailed: Too few examples for the fractions.
    """
    x, y = arrays.x_train, arrays.y_train
    rest = np.arange(len(x))
    if arrays.x_test is not None and arrays.y_test is not None:
        x_test, y_test = arrays.x_test, arrays.y_test
    else:
        fraction = 0.2 if section.test_fraction is None else section.test_fraction
        cut, rest = _cut(rest, y, fraction, section.split_seed, "test", task)
        x_test, y_test = x[cut], y[cut]
    validation, rest = _cut(
        rest, y, section.validation_fraction, section.split_seed, "validation", task
    )
    train = rest
    if section.train_fraction < 1:
        train, _ = _cut(rest, y, section.train_fraction, section.split_seed, "train", task)
    if min(len(train), len(validation), len(x_test)) == 0:
        raise TrialFailed(
            "user_error",
            f"{len(x):,} examples are too few for these fractions: training would have "
            f"{len(train)}, validation {len(validation)}, test {len(x_test)}",
        )
    return _scaled(
        arrays,
        task,
        section.normalize == "standard",
        (x[train], y[train]),
        (x[validation], y[validation]),
        (x_test, y_test),
    )


def _cut(
    indices: NDArray[np.int64],
    labels: NDArray[Any],
    fraction: float,
    seed: int,
    purpose: str,
    task: Task,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ``fraction`` of the indices (one at least, if there are two) and the others."""
    rng = np.random.default_rng([_STREAMS[purpose], seed % 2**32, seed // 2**32])
    sequence = rng.permutation(indices)
    if task is Task.CLASSIFICATION:
        sequence = sequence[_balanced_order(labels[sequence])]
    n_front = share(len(sequence), fraction)
    return np.sort(sequence[:n_front]), np.sort(sequence[n_front:])


def _balanced_order(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Order examples so that every front part has the classes in proportion."""
    by_class = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(starts, counts)
    place = np.empty(len(labels))
    place[by_class] = (rank + 0.5) / np.repeat(counts, counts)
    return np.argsort(place, kind="stable")


def _scaled(
    arrays: Arrays,
    task: Task,
    is_standard: bool,
    *parts: tuple[NDArray[Any], NDArray[Any]],
) -> Splits:
    inputs = [np.ascontiguousarray(x.reshape(len(x), -1)) for x, _ in parts]
    targets = [y for _, y in parts]
    shift, factor = 0.0, 1.0
    if inputs[0].dtype == np.uint8:
        shift, factor = _byte_scale(inputs[0], is_standard)
        feature_shift, feature_scale = np.array([shift]), np.array([1 / factor])
    else:
        inputs, feature_shift, feature_scale = _scaled_features(inputs, is_standard)
    mean, scale = np.zeros(arrays.n_outputs), np.ones(arrays.n_outputs)
    if task is Task.REGRESSION:
        columns = [np.asarray(y, np.float64).reshape(len(y), -1) for y in targets]
        scale = _deviation(columns[0])
        mean = columns[0].mean(0)
        targets = [(y - mean) / scale for y in columns]
    train, validation, test = (Part(x, y) for x, y in zip(inputs, targets, strict=True))
    return Splits(
        task,
        arrays.input_shape,
        arrays.n_outputs,
        train,
        validation,
        test,
        shift,
        factor,
        scale,
        Scaling(feature_shift, 1 / feature_scale, mean, scale),
    )


def _byte_scale(train: NDArray[np.uint8], is_standard: bool) -> tuple[float, float]:
    if not is_standard:
        return 0.0, 1.0 / _BYTE_MAX
    counts = np.zeros(256)
    for block in _blocks(train):  # counting takes eight bytes for each it is shown
        counts += np.bincount(block.reshape(-1), minlength=256)
    values = np.arange(256.0)
    mean = float((counts * values).sum() / counts.sum())
    deviation = float(np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum()))
    return mean, 1.0 / (deviation or 1.0)


def _scaled_features(
    inputs: list[NDArray[Any]], is_standard: bool
) -> tuple[list[NDArray[Any]], NDArray[np.float64], NDArray[np.float64]]:
    """Return the inputs, and the mean and deviation taken out of them."""
    if not is_standard:
        return [x.astype(np.float32) for x in inputs], np.zeros(1), np.ones(1)
    train = inputs[0].astype(np.float64)
    mean, deviation = train.mean(0), _deviation(train)
    scaled = [np.empty(x.shape, np.float32) for x in inputs]
    for x, kept in zip(inputs, scaled, strict=True):
        for block, room in zip(_blocks(x), _blocks(kept), strict=True):
            room[:] = (block - mean) / deviation
    return scaled, mean, deviation


def _blocks(x: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield views of some rows at a time, so that what is made of them takes little memory."""
    n_rows = max(1, _BLOCK_VALUES // max(1, x.shape[1]))
    for begin in range(0, len(x), n_rows):
        yield x[begin : begin + n_rows]


def _deviation(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = columns.std(0)
    # a constant column has nothing to scale; rounding may leave it a trace of a deviation
    is_constant = deviation <= 1e-12 * np.abs(columns).max(0)
    return np.where(is_constant, 1.0, deviation)
