"""Picked batches are the examples of these numbers, as plain torch makes them."""

import pytest
import torch

from hpsearch.training.resident import Resident
from tests.lanes import byte_splits, class_splits
from tests.native import UNPAIRED, Memory, Place, Way, bits


@pytest.mark.parametrize("way", UNPAIRED, ids=str)
@pytest.mark.parametrize("stored", ["bytes", "reals"])
@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("n_features", [1, 3, 8, 16, 17, 100])
def test_a_batch_is_its_examples_scaled_to_the_last_bit(
    way: Way, stored: str, is_shared: bool, n_features: int
) -> None:
    splits = (byte_splits if stored == "bytes" else class_splits)(n_features=n_features)
    resident = Resident(splits, device=torch.device("cpu"), dtype=way.dtype)
    n_lanes, n_rows = 1 if is_shared else 3, 11
    order = torch.randint(200, (n_lanes, n_rows + 5), generator=torch.Generator().manual_seed(1))
    memory = Memory.of(order)
    out = Memory((n_lanes, n_rows, n_features), way.dtype, Place(is_last=False, shift=3))
    way.call(
        "pick",
        stored,
        lanes=n_lanes,
        rows=n_rows,
        features=n_features,
        source=Memory.of(resident.train.x),
        order=memory,
        order_lane=memory.strides[0],
        scale=Memory.of(torch.tensor([splits.shift, splits.factor], dtype=way.dtype)),
        out=out,
    )
    expected = resident.scaled(resident.train.x[order[:, :n_rows]])
    assert torch.equal(bits(out.tensor), bits(expected))
