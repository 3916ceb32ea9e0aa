"""Kernels of linear layers are what plain torch works out, and touch nothing else."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hpsearch.native.kernels import scratch_bytes
from tests.native import (
    UNPAIRED,
    WAYS,
    Memory,
    Place,
    Way,
    affine,
    input_gradient,
    normal,
    weight_gradient,
    whole,
)

# around the sizes of blocks: rows, columns and runs of each way
SIDES = (1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 64, 97)
FORWARD = ("relu", "leaky_relu")  # what follows an affine map in the same pass
BACKWARD = ("relu", "leaky_relu", "tanh", "sigmoid")
SOME = (*UNPAIRED[:1], *UNPAIRED[-1:])  # ways that activations are tried with: single, double

Sizes = tuple[int, int, int, int]

every_way = pytest.mark.parametrize("way", WAYS, ids=str)
side = st.sampled_from(SIDES)
layers = st.tuples(st.integers(1, 3), side, side, side)  # lanes, batch, outputs, inputs
places = st.builds(Place, gap=st.integers(0, 3), is_last=st.booleans(), shift=st.integers(0, 17))
seeds = st.integers(0, 99)


@pytest.mark.parametrize(
    ("way", "activation"),
    [(way, "none") for way in WAYS] + [(way, one) for way in SOME for one in FORWARD],
    ids=str,
)
@given(sizes=layers, seed=seeds, place=places, is_shared=st.booleans())
@settings(max_examples=40, deadline=None)
def test_an_affine_map_is_the_product_and_the_bias(
    way: Way, activation: str, sizes: Sizes, seed: int, place: Place, is_shared: bool
) -> None:
    lanes, batch, outputs, inputs = sizes
    weight, bias = whole(way, seed, lanes, outputs, inputs), whole(way, seed + 1, lanes, outputs)
    x = whole(way, seed + 2, *(() if is_shared else (lanes,)), batch, inputs)
    z = affine(way, x, weight, bias, activation, place)
    true = (x.double() @ weight.double().transpose(1, 2) + bias.double()[:, None]).to(way.dtype)
    assert torch.equal(z, activated(activation, true))


def activated(activation: str, z: Tensor) -> Tensor:
    if activation == "none":
        return z
    return z.relu() if activation == "relu" else z.where(z > 0, z * 0.01)


@pytest.mark.parametrize(
    ("way", "activation"),
    [(way, "none") for way in WAYS] + [(way, one) for way in SOME for one in BACKWARD],
    ids=str,
)
@given(sizes=layers, seed=seeds, place=places)
@settings(max_examples=20, deadline=None)
def test_the_gradient_of_the_inputs_is_the_product_and_the_derivative(
    way: Way, activation: str, sizes: Sizes, seed: int, place: Place
) -> None:
    lanes, batch, outputs, inputs = sizes
    weight, d = (
        whole(way, seed, lanes, outputs, inputs),
        whole(way, seed + 1, lanes, batch, outputs),
    )
    h = normal(way, seed + 2, lanes, batch, inputs)
    h = h.where(h.abs() > 0.3, 0.0)  # at zero the sides of a kink meet
    out = input_gradient(way, d, weight, None if activation == "none" else h, activation, place)
    slope = (d.double() @ weight.double()).to(way.dtype)
    expected = {
        "none": slope,
        "relu": slope.where(h > 0, 0.0),
        "leaky_relu": slope.where(h > 0, slope * 0.01),
        "tanh": slope * (1 - h * h),
        "sigmoid": slope * ((1 - h) * h),
    }
    assert torch.equal(out, expected[activation])


@pytest.mark.parametrize(
    ("way", "activation"), [(way, one) for way in SOME for one in ("none", "relu")], ids=str
)
@given(sizes=layers, seed=seeds, place=places)
@settings(max_examples=10, deadline=None)
def test_what_was_dropped_has_no_gradient(
    way: Way, activation: str, sizes: Sizes, seed: int, place: Place
) -> None:
    lanes, batch, outputs, inputs = sizes
    weight, d = (
        whole(way, seed, lanes, outputs, inputs),
        whole(way, seed + 1, lanes, batch, outputs),
    )
    h = normal(way, seed + 2, lanes, batch, inputs)
    factors = (normal(way, seed + 3, lanes, batch, inputs) > 0).to(way.dtype) * 1.25
    out = input_gradient(way, d, weight, h, activation, place, factors)
    plain = input_gradient(way, d, weight, h, activation)
    assert torch.equal(out, plain * factors)


@every_way
@given(sizes=layers, seed=seeds, place=places, is_shared=st.booleans())
@settings(max_examples=40, deadline=None)
def test_gradients_of_weight_and_bias_are_sums_over_the_batch(
    way: Way, sizes: Sizes, seed: int, place: Place, is_shared: bool
) -> None:
    lanes, batch, outputs, inputs = sizes
    d = whole(way, seed, lanes, batch, outputs)
    x = whole(way, seed + 1, *(() if is_shared else (lanes,)), batch, inputs)
    weight_out, bias_out = weight_gradient(way, d, x, place)
    assert torch.equal(weight_out, (d.double().transpose(1, 2) @ x.double()).to(way.dtype))
    assert torch.equal(bias_out, d.sum(1))


@every_way
@given(sizes=layers, seed=seeds)
@settings(max_examples=15, deadline=None)
def test_sums_are_as_precise_as_their_format(way: Way, sizes: Sizes, seed: int) -> None:
    lanes, batch, outputs, inputs = sizes
    weight, bias = normal(way, seed, lanes, outputs, inputs), normal(way, seed, lanes, outputs)
    x, d = normal(way, seed + 1, batch, inputs), normal(way, seed + 2, lanes, batch, outputs)
    w, left, right = (way.rounded(one) for one in (weight, x, d))
    results = (
        (affine(way, x, weight, bias) - bias[:, None], left, w.transpose(1, 2), inputs),
        (input_gradient(way, d, weight), right, w, outputs),
        (weight_gradient(way, d, x)[0], right.transpose(1, 2), left, batch),
    )
    for found, one, other, n in results:
        # n roundings of a sum, one of each product, and those of adding the bias and taking it off
        slack = (n + 4) * torch.finfo(way.dtype).eps * (one.abs() @ other.abs() + 8)
        assert ((found.double() - one @ other).abs() <= slack).all()


@pytest.mark.parametrize("way", UNPAIRED, ids=str)
def test_numbers_below_the_normal_ones_are_kept(way: Way) -> None:
    tiny = {torch.float32: 2.0**-149, torch.float64: 2.0**-1074}[way.dtype]
    weight, x, d = whole(way, 1, 2, 9, 5), whole(way, 2, 7, 5), whole(way, 3, 2, 7, 9)
    bias = torch.zeros(2, 9, dtype=way.dtype)
    assert torch.equal(affine(way, x, weight * tiny, bias), affine(way, x, weight, bias) * tiny)
    assert torch.equal(
        input_gradient(way, d, weight * tiny), input_gradient(way, d, weight) * tiny
    )
    for found, expected in zip(
        weight_gradient(way, d * tiny, x), weight_gradient(way, d, x), strict=True
    ):
        assert torch.equal(found, expected * tiny)


# --- scratch memory ----------------------------------------------------------------------------


def bound(way: Way, name: str, batch: int, outputs: int, inputs: int) -> int:
    """Return the bytes of scratch memory a kernel reads and writes, from how it cuts blocks."""
    shape = way.shape
    vector, group = shape.lanes * shape.size, shape.group

    def packed_row(n: int) -> int:
        return -(-n // shape.run) * vector

    def panel(n: int) -> int:
        return -(-n // group) * shape.vectors * vector

    if name == "affine":
        return (batch + shape.left + shape.right) * packed_row(inputs)
    if name == "input_gradient":
        return (batch + shape.rows) * packed_row(outputs) + panel(outputs)
    tile = -(-batch // group) * shape.rows * shape.size
    return -(-outputs // shape.rows) * tile + panel(batch)


def used(way: Way, name: str, batch: int, outputs: int, inputs: int) -> int:
    """Return the bytes of scratch memory a kernel writes to."""
    weight, bias = Memory((1, outputs, inputs), way.dtype), Memory((1, outputs), way.dtype)
    x, d = Memory((1, batch, inputs), way.dtype), Memory((1, batch, outputs), way.dtype)
    for one in (weight, bias, x, d):
        one.tensor.fill_(1.0)
    return way.call(
        name,
        "none" if name != "weight_gradient" else "",
        lanes=1,
        batch=batch,
        outputs=outputs,
        inputs=inputs,
        weight=weight,
        bias=bias,
        weight_out=weight,
        bias_out=bias,
        x=x,
        x_lane=x.strides[0],
        x_row=x.strides[1],
        d=d,
        d_lane=d.strides[0],
        d_row=d.strides[1],
        z=d,
        out=x,
    )


NAMES = ("affine", "input_gradient", "weight_gradient")
SKINNY = [(1, 1, 1), (901, 1, 2), (2, 901, 1), (1, 2, 901), (33, 64, 70)]


@every_way
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sizes", SKINNY)
def test_a_kernel_uses_the_scratch_memory_it_is_known_to(
    way: Way, name: str, sizes: tuple[int, int, int]
) -> None:
    most = bound(way, name, *sizes)
    assert 0 < used(way, name, *sizes) <= most
    full = (sizes[0], *(-(-n // 192) * 192 for n in sizes[1:]))  # nothing is left over
    assert used(way, name, *full) == bound(way, name, *full)


@every_way
@pytest.mark.parametrize("name", NAMES)
def test_scratch_memory_is_enough_for_any_layer(way: Way, name: str) -> None:
    # what is used and what there is grow linearly in each size but for its last block: what holds
    # at one block's every size, and far beyond any layer, holds between
    few, many = range(1, 66, 4), (2**8 - 1, 2**16, 2**24 + 1)
    for sizes in product((*few, *many), repeat=3):
        assert bound(way, name, *sizes) <= scratch_bytes(*sizes)
