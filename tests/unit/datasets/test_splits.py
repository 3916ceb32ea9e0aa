"""Splits: balanced, keyed by their seed alone, nested, scaled by the training examples."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from hpsearch.datasets.base import Arrays
from hpsearch.datasets.splits import Splits, split
from hpsearch.errors import TrialFailed
from hpsearch.spec.sections import DatasetSection, Task

N = 1000
LABELS = np.repeat(np.arange(4), [400, 300, 200, 100])


def section(**settings: Any) -> DatasetSection:
    return DatasetSection(name="any", **settings)


def numbered(*, has_test: bool = False, dtype: Any = np.float64) -> Arrays:
    """Examples that carry their own number, so that it shows where each went."""
    x = np.arange(N, dtype=dtype).reshape(N, 1)
    test = (x[:50] + 10_000, LABELS[:50]) if has_test else (None, None)
    return Arrays(x, LABELS, 4, *test)


def cut(arrays: Arrays | None = None, **settings: Any) -> Splits:
    settings = {"normalize": "none", **settings}
    return split(arrays or numbered(), section(**settings), Task.CLASSIFICATION)


def members(splits: Splits) -> tuple[set[int], set[int], set[int]]:
    train, validation, test = (
        {int(one) for one in part.x[:, 0]}
        for part in (splits.train, splits.validation, splits.test)
    )
    return train, validation, test


def test_every_example_is_in_one_split() -> None:
    train, validation, test = members(cut())
    assert train | validation | test == set(range(N))
    assert (len(train), len(validation), len(test)) == (720, 80, 200)


def test_a_test_split_of_the_data_sets_own_is_left_alone() -> None:
    train, validation, test = members(cut(numbered(has_test=True), validation_fraction=0.08333))
    assert test == set(range(10_000, 10_050))
    assert (len(train), len(validation)) == (917, 83)


@pytest.mark.parametrize("fraction", [0.05, 0.37, 1.0])
def test_classes_stay_in_proportion(fraction: float) -> None:
    splits = cut(train_fraction=fraction)
    for part in (splits.train, splits.validation, splits.test):
        share = np.bincount(part.y, minlength=4) / len(part)
        np.testing.assert_allclose(share, [0.4, 0.3, 0.2, 0.1], atol=1.01 / len(part))


def test_smaller_training_sets_are_subsets_and_leave_the_other_splits_alone() -> None:
    previous = members(cut())
    for fraction in (0.9, 0.5, 0.1, 0.01):
        present = members(cut(train_fraction=fraction))
        assert present[0] < previous[0]
        assert present[1:] == previous[1:]
        previous = present


def test_the_same_seed_cuts_the_same_and_another_differently() -> None:
    assert members(cut(split_seed=2**63 - 1)) == members(cut(split_seed=2**63 - 1))
    assert members(cut(split_seed=0)) != members(cut(split_seed=1))


def test_labels_stay_with_their_examples() -> None:
    splits = cut()
    for part in (splits.train, splits.validation, splits.test):
        np.testing.assert_array_equal(part.y, LABELS[part.x[:, 0].astype(int)])


def test_bytes_stay_bytes_and_are_scaled_by_one_mean_and_deviation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (N, 2, 3)).astype(np.uint8)
    splits = cut(Arrays(pixels, LABELS, 4), normalize="standard")
    assert splits.train.x.dtype == np.uint8
    assert splits.train.x.shape[1:] == (6,)
    scaled = (splits.train.x.astype(float) - splits.shift) * splits.factor
    assert scaled.mean() == pytest.approx(0, abs=1e-9)
    assert scaled.std() == pytest.approx(1)
    raw = cut(Arrays(pixels, LABELS, 4))
    assert (raw.shift, raw.factor) == (0, 1 / 255)


def test_measurements_are_scaled_feature_by_feature_from_the_training_examples_used() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, 3)) * [1, 100, 0] + [0, -500, 7]
    splits = cut(Arrays(x, LABELS, 4), normalize="standard", train_fraction=0.1)
    np.testing.assert_allclose(splits.train.x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(splits.train.x.std(0), [1, 1, 0], atol=1e-6)
    assert abs(splits.validation.x.mean(0)[1]) > 1e-4, "others are scaled by the training mean"


@pytest.mark.parametrize(("dtype", "most"), [(np.uint8, 2.5), (np.float32, 4.5)])
def test_cutting_and_scaling_takes_a_few_times_the_datas_memory(dtype: Any, most: float) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20_000, 500)).astype(dtype)
    arrays = Arrays(x, np.arange(len(x)) % 4, 4)
    tracemalloc.start()
    cut(arrays, normalize="standard")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < most * x.nbytes


def test_regression_targets_are_standardised_and_their_deviation_kept() -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((N, 1)) * 20 + 300
    splits = split(Arrays(rng.standard_normal((N, 2)), y, 1), section(), Task.REGRESSION)
    assert splits.train.y.mean() == pytest.approx(0, abs=1e-9)
    assert splits.train.y.std() == pytest.approx(1)
    assert splits.target_scale[0] == pytest.approx(20, rel=0.1)


def test_values_in_a_small_unit_are_scaled_like_any_others() -> None:
    rng = np.random.default_rng(0)
    farad = 1e-13 * rng.standard_normal((N, 2))
    splits = split(Arrays(farad, farad[:, :1], 1), section(), Task.REGRESSION)
    np.testing.assert_allclose(splits.train.x.std(0), 1, rtol=1e-5)
    assert splits.train.y.std() == pytest.approx(1)
    assert splits.target_scale[0] == pytest.approx(1e-13, rel=0.1)


@pytest.mark.parametrize("value", [0.1, 1e-13 / 3, 1e10 / 3])
def test_a_constant_column_is_not_blown_up_by_its_rounding(value: float) -> None:
    x = np.full((777, 1), value)
    splits = split(Arrays(x, np.arange(777.0)[:, None], 1), section(), Task.REGRESSION)
    np.testing.assert_allclose(splits.train.x, 0, atol=1e-5)


def test_tiny_fractions_still_leave_an_example_in_every_split() -> None:
    splits = cut(test_fraction=1e-9, validation_fraction=1e-9, train_fraction=1e-9)
    assert [len(p) for p in (splits.train, splits.validation, splits.test)] == [1, 1, 1]


def test_too_few_examples_are_refused_with_the_counts() -> None:
    arrays = Arrays(np.zeros((2, 1)), np.zeros(2, np.int64), 1)
    with pytest.raises(TrialFailed, match="2 examples are too few"):
        cut(arrays)
