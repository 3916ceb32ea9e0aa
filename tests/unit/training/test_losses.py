"""Losses over lanes: sums per lane, metrics in the units of the contract."""

import numpy as np
import pytest
import torch

from hpsearch.training.losses import CrossEntropy, loss_of
from tests.lanes import class_splits, line_splits


def test_cross_entropy_counts_hits_and_adds_up_each_lanes_loss() -> None:
    z = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [3.0, 3.0]]])
    y = torch.tensor([0, 1])
    sums = CrossEntropy().sums(z, y)
    for lane in range(2):
        plain = torch.nn.functional.cross_entropy(z[lane].t(), y, reduction="sum")
        assert sums[lane, 0].item() == pytest.approx(plain.item())
    assert sums[:, 1].tolist() == [2, 1]


def test_a_dead_network_does_not_count_as_right() -> None:
    z = torch.zeros(1, 4, 8)
    hits = CrossEntropy().sums(z, torch.arange(8) % 4)[0, 1]
    assert hits == 2  # one class of four, by whatever rule ties are broken


def test_a_nan_stays_in_its_lane() -> None:
    z = torch.zeros(2, 4, 8)
    z[0, 1, 3] = torch.nan
    d, sums = CrossEntropy().gradient(z, torch.zeros(8, dtype=torch.int64), None)
    assert sums[0].isnan().any()
    assert sums[1].isfinite().all()
    assert d[1].isfinite().all()


def test_regression_metrics_are_in_the_targets_unit() -> None:
    splits = line_splits()
    loss, scale = loss_of(splits), splits.target_scale[0]
    part = splits.validation
    guess = torch.full((1, 1, len(part)), float(part.y.mean()), dtype=torch.float64)
    sums = loss.sums(guess, torch.from_numpy(part.y)).numpy()
    metrics = loss.metrics(sums[0], len(part), "val")
    assert metrics["val_loss"] == pytest.approx(part.y.var())
    assert metrics["val_rmse"] == pytest.approx(part.y.std() * scale)
    assert metrics["val_r2"] == pytest.approx(0.0, abs=1e-12)  # no better than the mean


def test_training_has_no_r2() -> None:
    assert loss_of(line_splits()).metrics(np.zeros(1), 10, "train").keys() == {
        "train_loss",
        "train_rmse",
    }
    assert loss_of(class_splits()).metrics(np.zeros(2), 10, "train").keys() == {
        "train_loss",
        "train_accuracy",
    }
