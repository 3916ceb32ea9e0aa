"""Definitions and examples for preflight tests: one that is sound, and ways to spoil it."""

from typing import Any

import numpy as np

from hpsearch.catalog import installed_catalog
from hpsearch.datasets.base import Arrays
from hpsearch.datasets.splits import Splits, split
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.findings import Finding
from hpsearch.spec.sections import DatasetSection, Task
from hpsearch.training.preflight.checks import preflight

SOUND: dict[str, Any] = {
    "name": "sound",
    "dataset": {"name": "digits"},
    "model": {
        "family": "mlp",
        "hidden_layers": {"low": 0, "high": 2},
        "hidden_units": {"low": 16, "high": 128, "log": True},
        "activation": {"choices": ["relu", "tanh", "sigmoid", "gelu"]},
        "init": {"choices": ["he", "xavier", "orthogonal"]},
    },
    "optimizer": {
        "l2": {"low": 1e-6, "high": 1e-2, "log": True},
        "choices": [
            {"name": "adam", "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
            {"name": "sgd", "learning_rate": {"low": 1e-2, "high": 1.0, "log": True}},
        ],
    },
    "training": {"epochs": 5, "batch_size": {"choices": [16, 64]}},
    "limits": {"max_trials": 4},
}


def definition(**changes: Any) -> Definition:
    """Return the sound definition with whole sections replaced."""
    return parse_definition({**SOUND, **changes}, installed_catalog())


def images(n_examples: int = 600, **section: Any) -> Splits:
    """Return pictures of 28x28 bytes in ten classes, dark but for a bright patch, with noise."""
    rng = np.random.default_rng(3)
    y = np.arange(n_examples) % 10
    x = np.zeros((n_examples, 28, 28), np.uint8)
    for row, label in enumerate(y):
        top, left = divmod(int(label), 4)
        x[row, 4 + 6 * top : 10 + 6 * top, 3 + 6 * left : 9 + 6 * left] = 200
    x[:, 2:26, 2:26] += rng.integers(0, 50, (n_examples, 24, 24), dtype=np.uint8)
    return split(
        Arrays(x, y.astype(np.int64), 10),
        DatasetSection(name="images", **section),
        Task.CLASSIFICATION,
    )


def table(
    x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], n_outputs: int, **section: Any
) -> Splits:
    """Return the splits of a table as an upload gives it."""
    task = Task.CLASSIFICATION if y.ndim == 1 else Task.REGRESSION
    arrays = Arrays(x.astype(np.float32), y, n_outputs)
    return split(arrays, DatasetSection(name="table", **section), task)


def by_check(definition: Definition, splits: Splits) -> dict[str, Finding]:
    """Return the findings of a whole preflight by check."""
    return {finding.check: finding for finding in preflight(definition, splits).findings}
