"""Activations round a lane's numbers alike, alone and in company, in every layout there is."""

import pytest
import torch
from torch import Tensor

from hpsearch.layers.activations import activation

SIZES = ((4, 30, 200), (3, 300, 17), (2, 96, 33))


def laid(tensor: Tensor, order: tuple[int, int, int]) -> Tensor:
    """Return a dense copy whose axes follow each other in this order."""
    copy = tensor.permute(order).clone(memory_format=torch.contiguous_format)
    return copy.permute([order.index(axis) for axis in range(3)])


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh", "sigmoid", "gelu"])
def test_a_lane_is_the_same_alone_and_in_company(
    name: str, order: tuple[int, int, int], sizes: tuple[int, int, int]
) -> None:
    generator = torch.Generator().manual_seed(1)
    z, d = (torch.randn(sizes, generator=generator) for _ in range(2))
    alone_order = order if order[0] == 0 else (0, 2, 1)

    def both_ways(z: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        function = activation(name)
        h, saved = function.forward(z)
        assert h.stride() == z.stride()
        return h.clone(), function.backward(d, saved)

    company = both_ways(laid(z, order), laid(d, order))
    for lane in range(sizes[0]):
        own = slice(lane, lane + 1)
        alone = both_ways(laid(z[own], alone_order), laid(d[own], alone_order))
        assert torch.equal(alone[0][0], company[0][lane])
        assert torch.equal(alone[1][0], company[1][lane])
