"""Losses over lanes: sums per lane, metrics in the units of the contract."""

import numpy as np
import pytest
import torch

from hpsearch.datasets.splits import Splits
from hpsearch.training import step
from hpsearch.training.engine import Engine
from hpsearch.training.losses import CrossEntropy, loss_of
from tests.lanes import LOWEST_LOSS, class_splits, line_splits, play, trial


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


@pytest.mark.parametrize("smoothing", [None, (0.0, 0.2, 0.5)])
@pytest.mark.parametrize("is_shared", [True, False])
def test_the_gradient_is_torchs(smoothing: tuple[float, ...] | None, is_shared: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(3, 4, 8, dtype=torch.float64, generator=generator, requires_grad=True)
    y = torch.randint(4, (8,) if is_shared else (3, 8), generator=generator)
    for lane in range(3):
        target = y if is_shared else y[lane]
        share = smoothing[lane] if smoothing else 0.0
        plain = torch.nn.functional.cross_entropy(z[lane].t(), target, label_smoothing=share)
        plain.backward()  # type: ignore[no-untyped-call] # torch's
    column = None if smoothing is None else torch.tensor(smoothing, dtype=torch.float64)
    d, _ = CrossEntropy().gradient(
        z.detach(), y, None if column is None else column[:, None, None]
    )
    torch.testing.assert_close(d, z.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("splits", [class_splits(), line_splits()])
def test_batches_may_be_added_up_together(splits: Splits) -> None:
    loss = loss_of(splits)
    generator = torch.Generator().manual_seed(5)
    y = torch.from_numpy(splits.train.y)[:12]
    z = torch.randn(3, splits.n_outputs, 12, generator=generator)
    one_by_one = torch.zeros(3, loss.n_sums, dtype=torch.float64)
    seen = []
    for at in (slice(0, 4), slice(4, 8), slice(8, 12)):
        d, sums = loss.gradient(z[..., at].clone(), y[at], None)
        aim = loss.aims(y[None, None, at], z, None)[0]
        also, left = loss.slope(z[..., at].clone(), aim)
        assert torch.equal(d, also)
        one_by_one += sums
        seen.append(left)
    together = loss.tally(torch.cat(seen, 2), y)
    torch.testing.assert_close(together, one_by_one, rtol=1e-13, atol=0)


@pytest.mark.usefixtures("plain_torch")  # kernels of our own keep no outputs
def test_of_many_classes_the_outputs_of_few_steps_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    tally = CrossEntropy.tally

    def noted(self: CrossEntropy, seen: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sizes.append(seen.shape[1] * seen.shape[2])
        return tally(self, seen, y)

    curves = []
    for most in (step._MOST_KEPT, 200):  # four classes, batches of twenty
        monkeypatch.setattr(step, "_MOST_KEPT", most)
        monkeypatch.setattr(CrossEntropy, "tally", noted)
        caller = play(Engine(class_splits(), LOWEST_LOSS, 1, lanes=2), [trial(), trial()])
        monkeypatch.setattr(CrossEntropy, "tally", tally)
        curves.append(caller.curve(0))
        largest = max(n for n in sizes if n != 4 * 30)  # not of the validation split
        assert largest == (4 * 200 if most > 200 else 4 * 60)  # an epoch; three batches
        sizes.clear()
    for (_, one), (_, other) in zip(*curves, strict=True):
        assert one == pytest.approx(other, rel=1e-6)


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
