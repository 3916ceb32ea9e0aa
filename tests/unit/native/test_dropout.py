"""The kernel of dropout throws the coins that plain torch throws."""

import pytest
import torch
from torch import Tensor

from hpsearch.layers.dropout import LAST, Dropout
from tests.native import PLAIN, UNPAIRED, Memory, Place, Way, bits, normal

RATES = (0.0, 0.3, 0.999)
every_way = pytest.mark.parametrize("way", UNPAIRED, ids=str)


def layer(width: int) -> Dropout:
    made = Dropout(3, width, torch.device("cpu"))
    for lane, rate in enumerate(RATES):
        made.set_rate(lane, rate)
    return made


def random_keys(n_layers: int) -> Tensor:
    """Return keys ``[lanes, layers, 2]``, as a step has them."""
    generator = torch.Generator().manual_seed(5)
    limit = 2**31
    return torch.randint(-limit, limit, (3, n_layers, 2), generator=generator).to(torch.int32)


def dropped(
    way: Way, dropout: Dropout, keys: Tensor, h: Tensor, place: Place = PLAIN
) -> tuple[Tensor, Tensor]:
    """Return what is left of ``h`` and the factors, ``[lanes, batch, units]``."""
    n_lanes, batch, units = h.shape
    places, threshold, scale = dropout.by_example(n_lanes, batch, way.dtype)
    out, factors = Memory(h.shape, way.dtype, place), Memory(h.shape, way.dtype, place)
    memory = Memory.of(keys)
    way.call(
        "drop",
        lanes=n_lanes,
        batch=batch,
        units=units,
        h=Memory.of(h, place),
        out=out,
        factors=factors,
        places=Memory.of(places),
        keys=memory,
        key_lane=memory.strides[0],
        threshold=Memory.of(threshold[:, 0, 0]),
        scale=Memory.of(scale[:, 0, 0]),
        last=LAST,
    )
    return out.tensor, factors.tensor


@every_way
@pytest.mark.parametrize(("batch", "units"), [(1, 1), (5, 3), (7, 8), (4, 17), (33, 50)])
def test_the_coins_are_those_of_plain_torch(way: Way, batch: int, units: int) -> None:
    dropout, keys = layer(units), random_keys(2)
    h = normal(way, 1, 3, batch, units)
    out, factors = dropped(way, dropout, keys[:, 1], h, Place(is_last=False, shift=3))
    expected = dropout.factors(keys[:, 1], batch, way.dtype)
    assert expected is not None
    assert torch.equal(bits(factors), bits(expected.transpose(1, 2)))
    assert torch.equal(bits(out), bits(h * factors))


@every_way
def test_a_lane_that_drops_nothing_keeps_every_bit(way: Way) -> None:
    h = normal(way, 1, 3, 9, 20)
    out, factors = dropped(way, layer(20), random_keys(1)[:, 0], h)
    assert torch.equal(bits(out[0]), bits(h[0]))
    assert (factors[0] == 1).all()
    assert set(factors[1].flatten().tolist()) == {0.0, factors[1].max().item()}
