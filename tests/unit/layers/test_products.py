"""Products over lanes give each lane, to the last bit, what it gets alone, wherever it stands."""

import pytest
import torch
from torch import Tensor

from hpsearch.layers.products import Products, rounded_products

EXACT = Products(is_exact=True)
SIZES = [  # hidden, features, batch
    (64, 32, 50),
    (10, 64, 32),
    (33, 17, 37),
    (1, 64, 32),
    (64, 1, 32),
    (16, 16, 1),
    (2, 64, 5),
    (10, 8, 5),
    (1, 1, 1),
    (130, 100, 100),  # large enough for oneDNN, where that is used
    (500, 301, 64),
]


def numbers(*shape: int, seed: int = 0, shift: int = 0) -> Tensor:
    """Random numbers that start ``shift`` elements behind an aligned address."""
    memory = torch.empty(torch.Size(shape).numel() + shift)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return memory[shift:].view(shape).copy_(values)


@pytest.mark.parametrize("n_lanes", [2, 3, 8])
@pytest.mark.parametrize(("hidden", "features", "batch"), SIZES)
def test_every_product_of_a_lane_is_the_one_it_has_alone(
    n_lanes: int, hidden: int, features: int, batch: int
) -> None:
    weight = numbers(n_lanes, hidden, features)
    d = numbers(n_lanes, hidden, batch, seed=1)
    shared, rows = numbers(batch, features, seed=2), numbers(n_lanes, batch, features, seed=3)
    for x in (shared, rows.transpose(1, 2), rows.transpose(1, 2).contiguous()):
        z = EXACT.forward(weight, x)
        gradient = EXACT.weight_gradient(d, x, torch.empty_like(weight))
        back = EXACT.input_gradient(weight, d)
        for lane in range(n_lanes):
            # elsewhere in memory, and alone
            w = numbers(n_lanes, hidden, features, shift=3)[lane : lane + 1]
            one = x if x.dim() == 2 else x[lane : lane + 1]
            its = d[lane : lane + 1]
            out = EXACT.weight_gradient(its, one, torch.empty_like(w))
            assert torch.equal(EXACT.forward(w, one)[0], z[lane])
            assert torch.equal(out[0], gradient[lane])
            assert torch.equal(EXACT.input_gradient(w, its)[0], back[lane])


@pytest.mark.parametrize(("hidden", "features", "batch"), SIZES)
def test_exact_and_batched_products_agree_to_rounding(
    hidden: int, features: int, batch: int
) -> None:
    batched = Products(is_exact=False)
    weight, x = numbers(4, hidden, features), numbers(batch, features, seed=2)
    plain = torch.einsum("khf,bf->khb", weight.double(), x.double()).float()
    atol = 4e-6 * features**0.5  # rounding of a sum grows with the root of its length
    for products in (EXACT, batched):
        torch.testing.assert_close(products.forward(weight, x), plain, rtol=0, atol=atol)


@pytest.mark.parametrize("is_shared", [True, False])
def test_products_may_be_rounded_where_the_caller_says_so(is_shared: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(3, 130, 140, generator=generator)
    x = torch.randn((90, 140) if is_shared else (3, 140, 90), generator=generator)
    exact = Products(is_exact=False).forward(weight, x)
    with rounded_products():
        rounded = Products(is_exact=False).forward(weight, x)
        kept = Products(is_exact=True).forward(weight, x)
        double = Products(is_exact=False).forward(weight.double(), x.double())
    scale = exact.abs().max()
    assert (rounded - exact).abs().max() / scale < 0.02  # bfloat16 has eight bits
    assert (kept - exact).abs().max() / scale < 1e-5
    assert (double - exact).abs().max() / scale < 1e-5
    again = Products(is_exact=False).forward(weight, x)
    assert torch.equal(again, exact)
