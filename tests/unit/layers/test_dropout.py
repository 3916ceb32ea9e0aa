"""Coins of dropout: the right share, independent, and nobody's but the lane's own."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hpsearch.layers.dropout import Dropout
from hpsearch.training.seeds import draw_key, step_keys

CPU = torch.device("cpu")


def keys(*numbers: int, step: int = 1, layer: int = 0, n_layers: int = 3) -> Tensor:
    """Return the keys of these trials at one step, for one layer."""
    one = [step_keys(draw_key(7, number), np.array([step]), n_layers)[0] for number in numbers]
    return torch.from_numpy(np.stack(one))[:, layer]


def factors(rates: list[float], key: Tensor, width: int = 200, n_columns: int = 300) -> Tensor:
    layer = Dropout(len(rates), width, CPU)
    for lane, rate in enumerate(rates):
        layer.set_rate(lane, rate)
    result = layer.factors(key, n_columns, torch.float32)
    assert result is not None
    return result


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_the_share_of_what_is_dropped_is_the_rate(rate: float) -> None:
    dropped = (factors([rate], keys(0)) == 0).float().mean().item()
    assert dropped == pytest.approx(rate, abs=5 * (rate * (1 - rate) / 60_000) ** 0.5)


def test_what_is_kept_is_scaled_so_that_the_mean_stays() -> None:
    kept = factors([0.2], keys(0))
    assert kept[kept > 0].tolist() == pytest.approx([1 / 0.8] * int((kept > 0).sum()))
    assert kept.mean().item() == pytest.approx(1.0, abs=0.02)


def test_every_lane_has_its_own_rate_and_a_lane_without_is_left_alone() -> None:
    both = factors([0.5, 0.0, 0.1], keys(0, 1, 2))
    assert (both[1] == 1).all()
    assert (both[0] == 0).float().mean() > 3 * (both[2] == 0).float().mean()


def test_without_any_rate_there_is_nothing_to_multiply() -> None:
    assert Dropout(4, 10, CPU).factors(keys(0, 1), 5, torch.float32) is None


def test_coins_depend_on_neither_row_nor_neighbours_nor_the_packs_width() -> None:
    alone = factors([0.4], keys(5), width=20, n_columns=30)[0]
    packed = factors([0.1, 0.2, 0.4], keys(3, 4, 5), width=27, n_columns=30)[2]
    assert torch.equal(alone, packed[:20])


def test_a_lane_that_moves_keeps_its_rate() -> None:
    layer = Dropout(3, 50, CPU)
    layer.set_rate(2, 0.4)
    layer.move(2, 0)
    layer.resize(8)
    moved = layer.factors(keys(5), 30, torch.float32)
    assert moved is not None
    assert torch.equal(moved[0], factors([0.4], keys(5), 50, 30)[0])


@pytest.mark.parametrize(
    "other",
    [keys(0, step=2), keys(0, layer=1), keys(1), keys(0, step=1001), keys(0, step=257, layer=2)],
    ids=["step", "layer", "trial", "far-step", "both"],
)
def test_coins_of_other_steps_layers_and_trials_are_independent(other: Tensor) -> None:
    one, two = factors([0.5], keys(0)), factors([0.5], other)
    agreement = (one == two).float().mean().item()
    assert agreement == pytest.approx(0.5, abs=5 * 0.5 / 60_000**0.5)


def test_coins_of_neighbouring_units_and_columns_are_independent() -> None:
    coins = (factors([0.5], keys(0), 256, 256)[0] > 0).double() * 2 - 1
    for shift in ((0, 1), (1, 0), (1, 1), (0, 2), (4, 0), (0, 16), (16, 0)):
        mean = (coins * coins.roll(shift, (0, 1))).mean().item()
        assert abs(mean) < 5 / 256, shift


def test_over_many_steps_every_unit_is_dropped_as_often() -> None:
    n_steps = 400
    dropped = torch.zeros(40, 10)
    layer = Dropout(1, 40, CPU)
    layer.set_rate(0, 0.5)
    for step in range(1, n_steps + 1):
        result = layer.factors(keys(0, step=step), 10, torch.float32)
        assert result is not None
        dropped += result[0] == 0
    assert (dropped / n_steps - 0.5).abs().max() < 5 * 0.5 / n_steps**0.5
