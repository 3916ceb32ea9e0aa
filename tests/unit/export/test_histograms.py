"""Distributions of stored weights."""

import numpy as np
import pytest

from hpsearch.export.histograms import histograms


def test_every_number_of_a_tensor_is_in_one_bin() -> None:
    rng = np.random.default_rng(1)
    weights = {
        "0.weight": rng.standard_normal((30, 20)).astype(np.float32),
        "0.bias": np.zeros(30, np.float32),
        "1.num_batches_tracked": np.array(7),
    }
    weights["0.weight"][0, :5] = 0.0
    matrix, bias = histograms(weights, 16)
    assert (matrix["name"], matrix["shape"], matrix["size"]) == ("0.weight", [30, 20], 600)
    assert sum(matrix["counts"]) == 600
    assert len(matrix["edges"]) == len(matrix["counts"]) + 1 == 17
    assert (matrix["edges"][0], matrix["edges"][-1]) == (matrix["min"], matrix["max"])
    assert matrix["zeros"] == 5
    assert matrix["mean"] == pytest.approx(weights["0.weight"].mean(), abs=1e-6)
    assert matrix["std"] == pytest.approx(weights["0.weight"].std(), abs=1e-6)
    assert (bias["zeros"], sum(bias["counts"]), bias["std"]) == (30, 30, 0.0)


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    some, none = histograms(
        {"a": np.array([np.nan, np.inf, 1.0, 3.0]), "b": np.array([np.nan, -np.inf])}, 4
    )
    assert (some["nonfinite"], some["min"], some["max"]) == (2, 1.0, 3.0)
    assert sum(some["counts"]) == 2
    assert (none["nonfinite"], none["counts"], none["mean"]) == (2, [], None)
