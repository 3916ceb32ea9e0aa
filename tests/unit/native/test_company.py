"""What a kernel makes of a lane is the same, to the last bit, whatever stands beside it."""

from collections.abc import Callable
from operator import itemgetter

import pytest
import torch
from torch import Tensor

from tests.native import (
    PLAIN,
    WAYS,
    Place,
    Way,
    affine,
    bits,
    input_gradient,
    normal,
    weight_gradient,
    weight_step,
)

N_LANES = 3
SIZES = [(1, 1, 1), (7, 5, 3), (20, 33, 17), (50, 24, 100), (9, 10, 49)]  # batch, outputs, inputs
COEFFICIENTS = (0.9, 0.99, 0.1, 0.01, 0.003, 0.5, 1e-8, 0.999, 0.1)  # of adamw, and the l2 term

every_way = pytest.mark.parametrize("way", WAYS, ids=str)


class Layers:
    """Lanes of a layer, and what all kernels make of them.

    Args:
        way: To compute.
        sizes: Batch, outputs, inputs.
        is_shared: Whether all lanes have one matrix of inputs.
    """

    def __init__(self, way: Way, sizes: tuple[int, int, int], *, is_shared: bool) -> None:
        batch, outputs, inputs = sizes
        self.way = way
        self.x = normal(way, 1, *(() if is_shared else (N_LANES,)), batch, inputs)
        self.d = normal(way, 2, N_LANES, batch, outputs)
        self.h = normal(way, 3, N_LANES, batch, inputs)
        self.weights = [normal(way, 4 + i, N_LANES, outputs, inputs).abs() for i in range(3)]
        self.biases = [normal(way, 7 + i, N_LANES, outputs).abs() for i in range(3)]

    def map(self, change: Callable[[Tensor], Tensor]) -> "Layers":
        """Return others, made of every tensor of these that has lanes."""
        other = object.__new__(Layers)
        other.way = self.way
        other.x = change(self.x) if self.x.dim() == 3 else self.x
        other.d, other.h = change(self.d), change(self.h)
        other.weights = [change(one) for one in self.weights]
        other.biases = [change(one) for one in self.biases]
        return other

    def results(self, place: Place = PLAIN) -> list[Tensor]:
        """Return what all kernels make of them, ``[lanes, ...]`` each."""
        way, weight, bias = self.way, self.weights[0], self.biases[0]
        table = torch.tensor([COEFFICIENTS] * len(weight), dtype=way.dtype)
        stepped = weight_step(
            way, "adamw", self.d, self.x, self.weights, self.biases, table, place
        )
        return [
            affine(way, self.x, weight, bias, "none", place),
            input_gradient(way, self.d, weight, self.h, "tanh", place),
            *weight_gradient(way, self.d, self.x, place),
            *stepped[0],
            *stepped[1],
        ]


@every_way
@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_a_lane_alone_and_among_others(
    way: Way, sizes: tuple[int, int, int], is_shared: bool
) -> None:
    layers = Layers(way, sizes, is_shared=is_shared)
    together = layers.results()
    for lane in range(N_LANES):
        # elsewhere in memory, too
        alone = layers.map(itemgetter(slice(lane, lane + 1))).results(
            Place(gap=lane, is_last=False, shift=5)
        )
        for one, other in zip(alone, together, strict=True):
            assert torch.equal(bits(one[0]), bits(other[lane]))


@every_way
@pytest.mark.parametrize("sizes", SIZES)
def test_a_lane_in_another_row(way: Way, sizes: tuple[int, int, int]) -> None:
    layers, order = Layers(way, sizes, is_shared=False), [2, 0, 1]
    here, there = layers.results(), layers.map(lambda one: one[order]).results()
    for one, other in zip(here, there, strict=True):
        assert torch.equal(bits(one[order]), bits(other))


@every_way
@pytest.mark.parametrize("sizes", SIZES)
def test_a_batch_of_ones_own_is_as_good_as_a_shared_one(
    way: Way, sizes: tuple[int, int, int]
) -> None:
    layers = Layers(way, sizes, is_shared=True)
    shared = layers.results()
    layers.x = layers.x.expand(N_LANES, -1, -1).clone()
    for one, other in zip(shared, layers.results(), strict=True):
        assert torch.equal(bits(one), bits(other))


def padded(one: Tensor, more: int) -> Tensor:
    """Return a tensor with zeros behind its last axis."""
    return torch.nn.functional.pad(one, (0, more))


@every_way
@pytest.mark.parametrize("more", [1, 15, 40])
@pytest.mark.parametrize("sizes", SIZES)
def test_zeros_around_a_narrower_lane_change_nothing_and_stay(
    way: Way, sizes: tuple[int, int, int], more: int
) -> None:
    narrow = Layers(way, sizes, is_shared=False)
    # lanes and batch stay: of a matrix of weights both sides grow, of activations the last one
    wide = narrow.map(lambda one: padded(one, more))
    wide.weights = [padded(padded(one, more).mT, more).mT for one in narrow.weights]
    for one, other in zip(narrow.results(), wide.results(), strict=True):
        inside = tuple(slice(n) for n in one.shape)
        assert torch.equal(bits(one), bits(other[inside]))
        other[inside] = 0.0
        assert not other.any()


@every_way
@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("wild", [float("nan"), float("inf"), 3e38, 1e-40])
def test_a_wild_lane_changes_no_bit_of_others(way: Way, wild: float, is_shared: bool) -> None:
    layers = Layers(way, (20, 11, 17), is_shared=is_shared)

    def spoilt(one: Tensor) -> Tensor:
        one = one.clone()
        one[1] = wild
        return one

    for one, other in zip(layers.results(), layers.map(spoilt).results(), strict=True):
        assert torch.equal(bits(one[::2]), bits(other[::2]))


@every_way
def test_an_example_that_is_no_number_spoils_no_other(way: Way) -> None:
    layers = Layers(way, (20, 11, 17), is_shared=False)
    clean = layers.results()[:2]
    layers.x[1, 7, 3] = layers.d[1, 7, 3] = float("nan")
    for one, other in zip(clean, layers.results()[:2], strict=True):
        assert other.isnan().any(2).nonzero().tolist() == [[1, 7]]
        assert torch.equal(
            bits(one).where(~other.isnan(), 0), bits(other).where(~other.isnan(), 0)
        )


@every_way
def test_a_unit_that_is_no_number_spoils_no_other(way: Way) -> None:
    layers = Layers(way, (20, 11, 17), is_shared=False)
    layers.weights[0][1, 4, 6] = layers.biases[0][2, 5] = float("inf")
    z, slope, *_ = layers.results()
    infinite = torch.zeros_like(z, dtype=torch.bool)
    infinite[1, :, 4] = infinite[2, :, 5] = True
    assert torch.equal(~z.isfinite(), infinite)
    assert (~slope.isfinite()).any(1).nonzero().tolist() == [[1, 6]]
