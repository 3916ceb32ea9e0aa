from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.datasets.splits import Part, Splits
from hpsearch.spec.findings import Finding, Severity
from hpsearch.spec.sections import Task
from hpsearch.training.preflight.data import check_data
from tests.lanes import class_splits, line_splits
from tests.unit.training.preflight.cases import images, table


def findings(splits: Splits) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_data(splits)}


def severities(splits: Splits) -> dict[str, Severity]:
    return {name: finding.severity for name, finding in findings(splits).items()}


def changed(splits: Splits, split: str, **arrays: Any) -> Splits:
    """Return the splits with x or y of one of them replaced."""
    part = getattr(splits, split)
    made: dict[str, Any] = {split: Part(arrays.get("x", part.x), arrays.get("y", part.y))}
    return replace(splits, **made)


@pytest.mark.parametrize(
    "splits", [class_splits(), line_splits(), images()], ids=["classes", "targets", "images"]
)
def test_sound_data_is_all_right(splits: Splits) -> None:
    assert set(severities(splits).values()) == {Severity.OK}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_inputs_that_are_no_finite_numbers_fail_and_their_columns_are_named(
    value: float, split: str
) -> None:
    splits = class_splits()
    x = getattr(splits, split).x.copy()
    x[3, 5] = value
    finding = findings(changed(splits, split, x=x))["finite"]
    assert finding.severity is Severity.FAILURE
    assert "feature 5 of 12" in finding.message
    assert {"train": "training"}.get(split, split) in finding.message
    assert finding.measured == 1


def test_infinities_of_both_signs_do_not_cancel_out() -> None:
    splits = class_splits()
    x = splits.train.x.copy()
    x[0, 1], x[1, 1] = np.inf, -np.inf
    assert severities(changed(splits, "train", x=x))["finite"] is Severity.FAILURE


def test_a_nan_in_a_table_is_found_behind_the_scaling() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 4)), np.arange(300) % 3
    x[17, 2] = np.nan
    finding = findings(table(x, y, 3))["finite"]
    assert finding.severity is Severity.FAILURE
    assert "feature 2 of 4" in finding.message


def test_targets_that_are_no_finite_numbers_fail() -> None:
    splits = line_splits()
    y = splits.validation.y.copy()
    y[:2] = np.nan
    finding = findings(changed(splits, "validation", y=y))["finite"]
    assert finding.severity is Severity.FAILURE
    assert "2 validation targets" in finding.message


def test_a_single_class_fails() -> None:
    rng = np.random.default_rng(0)
    finding = findings(table(rng.standard_normal((90, 3)), np.full(90, 1), 2))["classes"]
    assert finding.severity is Severity.FAILURE
    assert "class 1" in finding.message


def test_a_constant_target_fails() -> None:
    rng = np.random.default_rng(0)
    finding = findings(table(rng.standard_normal((90, 3)), np.full((90, 1), 5.0), 1))["targets"]
    assert finding.severity is Severity.FAILURE
    assert "nothing to learn" in finding.message


@pytest.mark.parametrize(("task", "n_train"), [("classes", 3), ("targets", 2)])
def test_too_few_examples_fail(task: str, n_train: int) -> None:
    splits = class_splits() if task == "classes" else line_splits()
    part = Part(splits.train.x[:n_train], splits.train.y[:n_train])
    finding = findings(replace(splits, train=part))["sizes"]
    assert finding.severity is Severity.FAILURE
    assert "too few" in finding.message


def test_a_rare_class_is_a_warning_with_what_guessing_reaches() -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(2000) % 50 == 0).astype(np.int64)
    finding = findings(table(rng.standard_normal((2000, 3)), y, 2))["classes"]
    assert finding.severity is Severity.WARNING
    assert "98%" in finding.message
    assert "val_loss" in finding.message
    assert finding.measured == pytest.approx(49, rel=0.1)


def test_a_class_with_a_handful_of_examples_is_a_warning() -> None:
    splits = class_splits()
    chosen = np.r_[np.flatnonzero(splits.train.y != 3), np.flatnonzero(splits.train.y == 3)[:7]]
    part = Part(splits.train.x[chosen], splits.train.y[chosen])
    finding = findings(replace(splits, train=part))["classes"]
    assert finding.severity is Severity.WARNING
    assert "class 3" in finding.message


def test_a_class_that_is_never_trained_on_is_a_warning() -> None:
    splits = class_splits()
    chosen = np.flatnonzero(splits.train.y != 2)
    part = Part(splits.train.x[chosen], splits.train.y[chosen])
    finding = findings(replace(splits, train=part))["classes"]
    assert finding.severity is Severity.WARNING
    assert "class 2 has validation or test examples" in finding.message


def test_a_small_validation_split_is_a_warning() -> None:
    splits = class_splits()
    part = Part(splits.validation.x[:12], splits.validation.y[:12])
    finding = findings(replace(splits, validation=part))["sizes"]
    assert finding.severity is Severity.WARNING
    assert "12 validation examples" in finding.message
    assert "dataset.validation_fraction" in finding.message
    part = Part(splits.validation.x[:1], splits.validation.y[:1])
    finding = findings(replace(splits, validation=part))["sizes"]
    assert finding.message.startswith("one validation example decides")


def test_constant_columns_of_a_table_are_a_warning_and_the_margin_of_an_image_is_none() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 6))
    x[:, [1, 4]] = 7.0
    finding = findings(table(x, np.arange(300) % 3, 3))["features"]
    assert finding.severity is Severity.WARNING
    assert "features 1, 4 of 6" in finding.message

    margin = findings(images())["features"]
    assert margin.measured is not None
    assert 0 < margin.measured < 0.5
    assert margin.severity is Severity.OK


def test_empty_images_are_a_warning_and_inputs_that_never_vary_fail() -> None:
    splits = images()
    x = splits.train.x.copy()
    x[:, 200:] = 0
    assert severities(changed(splits, "train", x=x))["features"] is Severity.WARNING
    x[:] = 9
    assert severities(changed(splits, "train", x=x))["features"] is Severity.FAILURE


@pytest.mark.parametrize("source", ["train", "validation"])
@pytest.mark.parametrize("splits", [class_splits(), images()], ids=["floats", "bytes"])
def test_rows_that_are_in_two_splits_are_a_warning(source: str, splits: Splits) -> None:
    x = splits.test.x.copy()
    x[:3] = getattr(splits, source).x[5:8]
    finding = findings(changed(splits, "test", x=x))["duplicates"]
    name = {"train": "training"}.get(source, source)
    assert finding.severity is Severity.WARNING
    assert f"3 of {len(x)} test examples" in finding.message
    assert f"{name} examples" in finding.message


def test_one_duplicate_among_many_is_told_without_a_warning() -> None:
    splits = images(2000)
    x = splits.test.x.copy()
    x[0] = splits.train.x[0]
    finding = findings(changed(splits, "test", x=x))["duplicates"]
    assert finding.severity is Severity.OK
    assert "one of 400 test examples" in finding.message


def test_rows_that_differ_in_one_value_are_no_duplicates() -> None:
    splits = images(2000)
    x = splits.train.x[: len(splits.test)].copy()
    x[:, 60] += 1
    finding = findings(changed(splits, "test", x=x))["duplicates"]
    assert (finding.severity, finding.measured) == (Severity.OK, 0)


def test_minus_zero_and_zero_are_the_same_number() -> None:
    splits = class_splits()
    train, test = splits.train.x.copy(), splits.test.x.copy()
    train[0], test[0] = 0.0, -0.0
    changed_splits = changed(changed(splits, "train", x=train), "test", x=test)
    assert severities(changed_splits)["duplicates"] is Severity.WARNING


def test_a_regression_has_targets_in_place_of_classes() -> None:
    assert line_splits().task is Task.REGRESSION
    assert set(findings(line_splits())) == {"finite", "targets", "sizes", "features", "duplicates"}
