"""Rows of a stack: narrow lanes in the corner, zeros behind, neighbours untouched."""

import numpy as np
import pytest
import torch

from hpsearch.errors import ShapeError
from hpsearch.layers.linear import linear
from hpsearch.layers.products import Products
from hpsearch.layers.stack import Stack, grown

WIDE = {"0.weight": (4, 3), "0.bias": (4,)}
NARROW = {"0.weight": (2, 3), "0.bias": (2,)}


def stack(n_rows: int = 3) -> Stack:
    return Stack(WIDE, n_rows, dtype=torch.float32, device=torch.device("cpu"))


def arrays(shapes: dict[str, tuple[int, ...]], value: float) -> dict[str, np.ndarray]:
    return {name: np.full(shape, value) for name, shape in shapes.items()}


def test_a_narrow_lane_comes_out_as_it_went_in() -> None:
    one = stack()
    one.put(1, arrays(NARROW, 5.0))
    taken = one.take(1, NARROW)
    assert {name: array.shape for name, array in taken.items()} == NARROW
    assert all((array == 5).all() for array in taken.values())


def test_what_a_row_held_before_is_gone_even_nan() -> None:
    one = stack()
    one.put(0, arrays(WIDE, np.nan))
    one.put(0, arrays(NARROW, 5.0))
    assert one.tensors[0][0, 2:].eq(0).all()
    assert one.tensors[1][0, 2:].eq(0).all()


def test_what_is_taken_is_a_copy() -> None:
    one = stack()
    one.put(0, arrays(WIDE, 5.0))
    taken = one.take(0, WIDE)
    one.put(0, arrays(WIDE, 6.0))
    assert (taken["0.weight"] == 5).all()


def test_rows_move_and_survive_growth() -> None:
    one = stack()
    one.put(0, arrays(WIDE, 5.0))
    one.put(2, arrays(WIDE, 7.0))
    one.move(2, 0)
    larger = grown(one, 8, 3)
    assert (larger.take(0, WIDE)["0.bias"] == 7).all()
    assert len(larger.tensors[0]) == 8


@pytest.mark.parametrize("wrong", [{"0.weight": (4, 3)}, {"0.weight": (5, 3), "0.bias": (4,)}])
def test_a_lane_that_does_not_fit_is_refused(wrong: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ShapeError, match="should fit into"):
        stack().put(0, arrays(wrong, 1.0))


def test_a_linear_layer_refuses_other_features() -> None:
    products = Products(is_exact=True)
    with pytest.raises(ShapeError, match="does not fit"):
        linear(torch.zeros(5, 7), torch.zeros(2, 4, 3), torch.zeros(2, 4, 1), products)
