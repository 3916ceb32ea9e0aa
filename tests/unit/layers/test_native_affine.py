"""Layers by our own kernels are those of plain torch, however activations stand in memory."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hpsearch.errors import ShapeError
from hpsearch.layers.activations import activation
from hpsearch.layers.affine import Affine, RuleStep, TorchAffine
from hpsearch.layers.products import Products, rounded_products
from hpsearch.native.processor import processor

pytestmark = pytest.mark.skipif(processor() is None, reason="no kernels for this processor")

TORCH = TorchAffine(Products(is_exact=False))
N_LANES = 3
SIZES = [(1, 1, 1), (5, 1, 7), (1, 9, 4), (20, 17, 33), (6, 50, 1)]  # batch, outputs, inputs


def native(*, is_exact: bool = True) -> Affine:
    from hpsearch.layers.native_affine import NativeAffine  # its kernels need llvmlite

    found = processor()
    assert found is not None
    return NativeAffine(found, is_exact=is_exact)


def numbers(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def by_feature(x: Tensor) -> Tensor:
    """Features one behind the other, as torch's products leave them."""
    return x.contiguous()


def by_example(x: Tensor) -> Tensor:
    """Examples one behind the other, as kernels leave them."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def among_others(x: Tensor) -> Tensor:
    """Every second lane, every third example, some of the features."""
    lanes, features, batch = x.shape
    memory = torch.full((2 * lanes, 3 * batch, features + 5), float("nan"), dtype=x.dtype)
    part = memory[::2, ::3, 2 : 2 + features].transpose(1, 2)
    return part.copy_(x)


LAYOUTS: list[Callable[[Tensor], Tensor]] = [by_feature, by_example, among_others]
every_layout = pytest.mark.parametrize("stands", LAYOUTS, ids=lambda one: one.__name__)
every_size = pytest.mark.parametrize(("batch", "outputs", "inputs"), SIZES)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@every_size
@every_layout
def test_outputs_and_gradients_are_torchs(
    stands: Callable[[Tensor], Tensor], batch: int, outputs: int, inputs: int
) -> None:
    weight, bias = numbers(1, N_LANES, outputs, inputs), numbers(2, N_LANES, outputs, 1)
    own, d = numbers(3, N_LANES, inputs, batch), stands(numbers(4, N_LANES, outputs, batch))
    shared = numbers(5, 2 * batch, inputs + 3)[::2, 1 : 1 + inputs]
    everyones = shared.t().expand(N_LANES, -1, -1)  # a matrix for each lane, all in one place
    for x in (stands(own), shared, everyones):
        close(native().forward(x, weight, bias), TORCH.forward(x, weight, bias))
        ours, theirs = (
            (torch.empty_like(weight), torch.full_like(bias, float("nan"))) for _ in range(2)
        )
        found = native().gradients(d, x, *ours)
        close(found, TORCH.gradients(d, x, *theirs))
        close(ours[1], theirs[1])


@every_size
@every_layout
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh", "sigmoid", "gelu"])
@pytest.mark.parametrize("drops", [False, True])
def test_the_way_back_through_an_activation_is_torchs(
    name: str,
    drops: bool,
    stands: Callable[[Tensor], Tensor],
    batch: int,
    outputs: int,
    inputs: int,
) -> None:
    function = activation(name)
    weight, d = numbers(1, N_LANES, outputs, inputs), stands(numbers(2, N_LANES, outputs, batch))
    before, own = numbers(3, N_LANES, inputs, 4), stands(numbers(4, N_LANES, 4, batch))
    nothing = numbers(5, N_LANES, inputs, 1)
    h, saved = native().activated(own, before, nothing, function)
    their_h, their_saved = TORCH.activated(own, before, nothing, function)
    close(h, their_h)
    close(saved, their_saved)
    factors = stands((numbers(6, *h.shape) > 0).double() * 1.25) if drops else None
    found = native().input_gradient(d, weight, h, function, saved, factors)
    close(found, TORCH.input_gradient(d, weight, their_h, function, their_saved, factors))


@every_layout
def test_a_step_is_the_gradients_and_the_rule(stands: Callable[[Tensor], Tensor]) -> None:
    weight, bias = numbers(1, N_LANES, 9, 7), numbers(2, N_LANES, 9, 1)
    d, x = stands(numbers(3, N_LANES, 9, 5)), stands(numbers(4, N_LANES, 7, 5))
    of_weight, of_bias = torch.empty_like(weight), torch.empty_like(bias)
    of_weight = TORCH.gradients(d, x, of_weight, of_bias)
    # learning rate, momentum, no look ahead, l2
    table = torch.tensor([[0.1, 0.5, 0.0, 0.0, 0.01]] * N_LANES, dtype=torch.float64)
    velocity = [[torch.ones_like(one) for one in (weight, bias)]]
    stepped = (weight.clone(), bias.clone())
    native().step(d, x, *stepped, RuleStep("sgd", table, velocity), 0)
    close(velocity[0][0], 0.5 + of_weight + 0.01 * weight)
    close(velocity[0][1], 0.5 + of_bias)
    close(stepped[0], weight - 0.1 * velocity[0][0])
    close(stepped[1], bias - 0.1 * velocity[0][1])


def test_scratch_memory_grows_with_what_is_asked() -> None:
    affine = native()
    for n in (1, 300, 2, 301, 17, 302):
        weight, x = numbers(n, 1, n, n), numbers(n + 1, n, n)
        bias = torch.zeros(1, n, 1, dtype=torch.float64)
        close(affine.forward(x, weight, bias), TORCH.forward(x, weight, bias))


@pytest.mark.parametrize("shape", [(4, 6), (2, 5, 4), (3, 6, 4)])
def test_inputs_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError):
        native().forward(torch.zeros(shape), torch.zeros(3, 2, 5), torch.zeros(3, 2, 1))


@pytest.mark.parametrize(
    ("is_exact", "dtype", "side", "is_rounded"),
    [
        (False, torch.float32, 16, True),
        (True, torch.float32, 16, False),
        (False, torch.float64, 16, False),
        (False, torch.float32, 15, False),  # a few classes
    ],
)
def test_products_are_rounded_where_they_may_be(
    is_exact: bool, dtype: torch.dtype, side: int, is_rounded: bool
) -> None:
    found = processor()
    if found is not None and not found.has_pairs:
        pytest.skip("this processor does not multiply bfloat16")
    affine = native(is_exact=is_exact)
    weight, x = numbers(1, 2, side, 40).to(dtype), numbers(2, 30, 40).to(dtype)
    bias, d = torch.zeros(2, side, 1, dtype=dtype), numbers(3, 2, side, 30).to(dtype)

    def all_products() -> list[Tensor]:
        made = affine.gradients(d, x, torch.empty_like(weight), torch.empty_like(bias))
        back = affine.input_gradient(d, weight, x, activation("gelu"), d.new_ones(2, 40, 30), None)
        return [affine.forward(x, weight, bias), made, back]

    usual = all_products()
    with rounded_products():
        rounded = all_products()
    for one, other in zip(rounded, usual, strict=True):
        error = ((one - other).abs().max() / other.abs().max()).item()
        assert 1e-4 < error < 0.02 if is_rounded else error == 0  # bfloat16 has eight bits
    assert all(torch.equal(one, other) for one, other in zip(all_products(), usual, strict=True))
