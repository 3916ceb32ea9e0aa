"""Kernels of update rules take the steps of the rules themselves, lane by lane."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hpsearch.native.rules import RULES
from hpsearch.optimizers.adagrad import Adagrad
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.adamax import Adamax
from hpsearch.optimizers.adamw import AdamW
from hpsearch.optimizers.base import REGISTRY, Optimizer
from hpsearch.optimizers.rmsprop import RmsProp
from hpsearch.optimizers.sgd import Sgd
from tests.native import (
    UNPAIRED,
    WAYS,
    Place,
    Way,
    bits,
    n_buffers,
    normal,
    update,
    weight_gradient,
    weight_step,
)

N_STEPS = 6
# around the sizes of vectors: the rest of a lane is another one's first vector
SIZES = (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 100)

SETTINGS: dict[str, list[Optimizer]] = {
    "sgd": [
        Sgd(learning_rate=0.1),
        Sgd(learning_rate=0.03, momentum=0.9, l2=0.01),
        Sgd(learning_rate=0.01, momentum=0.5, nesterov=True, l2=0.3),
    ],
    "adagrad": [Adagrad(), Adagrad(learning_rate=0.3, l2=0.1), Adagrad(eps=0.5)],
    "rmsprop": [RmsProp(), RmsProp(momentum=0.9, l2=0.1), RmsProp(alpha=0.5, eps=0.5)],
    "adam": [Adam(), Adam(beta1=0.5, l2=0.1), Adam(beta2=0.9, eps=0.5)],
    "adamw": [AdamW(), AdamW(weight_decay=0.5, l2=0.1), AdamW(beta1=0.0, weight_decay=0.0)],
    "adamax": [Adamax(), Adamax(beta1=0.5, l2=0.1), Adamax(beta2=0.5, eps=0.5)],
}

every_rule = pytest.mark.parametrize("rule", sorted(RULES))


def tables(way: Way, rule: str) -> Tensor:
    """Return the coefficients of each lane of :data:`SETTINGS`, ``[steps, lanes, names]``."""
    steps = np.arange(1, N_STEPS + 1)
    lanes = []
    for settings in SETTINGS[rule]:
        rates = settings.learning_rate / steps  # another one at every step
        found = settings.coefficients(rates, steps)
        l2 = np.full(N_STEPS, settings.l2)
        lanes.append(np.stack([*(found[name] for name in RULES[rule].coefficients), l2], 1))
    return torch.from_numpy(np.stack(lanes, 1)).to(way.dtype)


def taken(rule: str, table: Tensor, values: list[Tensor], gradient: Tensor) -> None:
    """Take a step of the rule itself, in float64: weight and running values are changed."""
    weight, *buffers = values
    *coefficients, l2 = table.double()[..., None].unbind(1)
    names = RULES[rule].coefficients
    full = gradient.addcmul(weight, l2)
    REGISTRY[rule].update(weight, full, buffers, dict(zip(names, coefficients, strict=True)))


def test_every_rule_there_is_has_kernels() -> None:
    assert set(RULES) == set(SETTINGS) == set(REGISTRY)


@every_rule
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", UNPAIRED, ids=str)
def test_a_step_is_the_rules_own(way: Way, rule: str, size: int) -> None:
    values = [normal(way, 1, 3, size), *(torch.zeros(3, size, dtype=way.dtype),) * n_buffers(rule)]
    plain = [one.double().clone() for one in values]
    for step, table in enumerate(tables(way, rule)):
        gradient = normal(way, 2 + step, 3, size)
        place = Place(is_last=bool(step % 2), shift=step)
        values = update(
            way, rule, values[0], gradient, values[1:], table, is_decayed=True, place=place
        )
        taken(rule, table, plain, gradient.double())
    # near zero a quotient's error counts, of numbers around one
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-5}[way.dtype]
    for found, expected in zip(values, plain, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


@every_rule
@pytest.mark.parametrize("way", UNPAIRED, ids=str)
def test_l2_is_for_those_it_is_meant_for(way: Way, rule: str) -> None:
    (table, *_), weight = tables(way, rule), normal(way, 1, 3, 20)
    running = [torch.zeros_like(weight)] * n_buffers(rule)
    gradient = normal(way, 2, 3, 20)
    without = table.clone()
    without[:, -1] = 0.0
    kept = update(way, rule, weight, gradient, running, table, is_decayed=False)
    expected = update(way, rule, weight, gradient, running, without, is_decayed=True)
    for one, other in zip(kept, expected, strict=True):
        assert torch.equal(bits(one), bits(other))
    decayed = update(way, rule, weight, gradient, running, table, is_decayed=True)
    # Adam's first steps, and those like them, tell no more than the gradient's sign
    assert not torch.equal(decayed[-1][1], kept[-1][1])


@every_rule
@pytest.mark.parametrize("wild", [float("nan"), float("inf"), 1e-310])
@pytest.mark.parametrize("way", UNPAIRED, ids=str)
def test_a_wild_lane_changes_no_bit_of_others(way: Way, rule: str, wild: float) -> None:
    table = tables(way, rule)[0].clone()
    values = [normal(way, seed, 3, 21).abs() for seed in range(2 + n_buffers(rule))]
    tame = update(way, rule, values[0], values[1], values[2:], table, is_decayed=True)
    for one in (*values, table):
        one[1] = wild
    both = update(way, rule, values[0], values[1], values[2:], table, is_decayed=True)
    for one, other in zip(tame, both, strict=True):
        assert torch.equal(bits(one[::2]), bits(other[::2]))


@every_rule
@pytest.mark.parametrize("way", UNPAIRED, ids=str)
def test_a_nan_stays_one_where_a_running_value_meets_it(way: Way, rule: str) -> None:
    table, weight = tables(way, rule)[0], normal(way, 1, 3, 9)
    running = [torch.zeros_like(weight)] * n_buffers(rule)
    gradient = normal(way, 2, 3, 9)
    gradient[0, 4] = float("nan")
    for one in update(way, rule, weight, gradient, running, table, is_decayed=True):
        assert one.isnan().nonzero().tolist() == [[0, 4]]


@pytest.mark.parametrize("sizes", [(5, 3, 2), (33, 20, 50), (16, 8, 48), (1, 17, 97)])
@pytest.mark.parametrize(
    ("way", "rule"),
    [(way, rule) for way in WAYS for rule in sorted(RULES) if way == WAYS[0] or rule == "adamw"],
    ids=str,
)
def test_a_step_of_weights_is_their_gradient_and_the_update_to_the_last_bit(
    way: Way, rule: str, sizes: tuple[int, int, int]
) -> None:
    batch, outputs, inputs = sizes
    table = tables(way, rule)[2]
    d, x = normal(way, 1, 3, batch, outputs), normal(way, 2, batch, inputs)
    seeds = range(3, 4 + n_buffers(rule))
    weights = [normal(way, seed, 3, outputs, inputs).abs() for seed in seeds]
    biases = [normal(way, seed, 3, outputs).abs() for seed in seeds]
    place = Place(gap=2, is_last=False, shift=3)
    found = weight_step(way, rule, d, x, weights, biases, table, place)
    gradients = weight_gradient(way, d, x)
    for values, gradient, mine, is_decayed in zip(
        (weights, biases), gradients, found, (True, False), strict=True
    ):
        expected = update(way, rule, values[0], gradient, values[1:], table, is_decayed=is_decayed)
        for one, other in zip(mine, expected, strict=True):
            assert torch.equal(bits(one), bits(other))


@pytest.mark.parametrize("sizes", [(5, 3, 2), (33, 20, 50), (1, 17, 97)])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_step_that_is_measured_is_the_same_step_and_tells_what_it_was_like(
    way: Way, sizes: tuple[int, int, int]
) -> None:
    batch, outputs, inputs = sizes
    table = tables(way, "adamw")[2]
    d, x = normal(way, 1, 3, batch, outputs), normal(way, 2, batch, inputs)
    weights = [normal(way, seed, 3, outputs, inputs).abs() for seed in (3, 4, 5)]
    biases = [normal(way, seed, 3, outputs).abs() for seed in (6, 7, 8)]
    signs = torch.zeros(3, 3, dtype=torch.float64)
    measured = weight_step(way, "adamw", d, x, weights, biases, table, signs=signs)
    plain = weight_step(way, "adamw", d, x, weights, biases, table)
    for found, expected in zip((*measured[0], *measured[1]), (*plain[0], *plain[1]), strict=True):
        assert torch.equal(bits(found), bits(expected))
    of_weight, of_bias = weight_gradient(way, d, x)
    gradient = of_weight + table[:, -1, None, None] * weights[0]
    squares = (
        gradient.double().square().sum((1, 2)) + of_bias.double().square().sum(1),
        weights[0].double().square().sum((1, 2)),
        (measured[0][0] - weights[0]).double().square().sum((1, 2)),
    )
    tolerance = 1e-12 if way.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(signs, torch.stack(squares, 1), rtol=tolerance, atol=0)
    weight_step(way, "adamw", d, x, weights, biases, table, signs=signs)  # more is added
    torch.testing.assert_close(signs, 2 * torch.stack(squares, 1), rtol=tolerance, atol=0)
