"""What kernels are written with: masks for any size, and functions as precise as they say."""

import ctypes

import pytest
import torch
from llvmlite import ir
from torch import Tensor

from hpsearch.native.emitter import TYPES, Emitter
from hpsearch.native.library import _compiled
from tests.native import UNPAIRED, Way, affine

every_way = pytest.mark.parametrize("way", UNPAIRED, ids=str)


@every_way
@pytest.mark.parametrize(
    ("n", "expected"),
    [(-5, 0), (0, 0), (1, 1), (3, 3), (2**31 - 1, 4), (2**31, 4), (2**32, 4), (2**40 + 1, 4)],
)
def test_a_mask_is_right_however_many_numbers_follow(way: Way, n: int, expected: int) -> None:
    # a lane may have more numbers than 32 bits count
    kind = ir.VectorType(TYPES[str(way.dtype).removeprefix("torch.")], 4)
    module = ir.Module("mask")
    e = Emitter(module, "mask")
    e.store_where(e.first(e.argument(0), kind), e.constant(1.0, kind), e.argument(1))
    e.finish()
    engine = _compiled(str(module), way.processor)
    out = torch.zeros(4, dtype=way.dtype)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address("mask"))
    run((ctypes.c_int64 * 2)(n, out.data_ptr()))
    assert out.tolist() == [1.0] * expected + [0.0] * (4 - expected)


def of(way: Way, activation: str, z: Tensor) -> Tensor:
    """Return what a layer makes of numbers that are its inputs."""
    one, nothing = torch.ones(1, 1, 1, dtype=way.dtype), torch.zeros(1, 1, dtype=way.dtype)
    return affine(way, z[:, None], one, nothing, activation).flatten()


@every_way
@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_functions_are_precise_to_a_few_units_of_the_last_place(way: Way, activation: str) -> None:
    steps = torch.linspace(-30, 30, 20_001, dtype=torch.float64)
    z = torch.cat((steps, steps**3 / 300, steps / 1e4, torch.tensor([1e-30, 0.625, -0.625])))
    z = z.to(way.dtype)
    true = z.double().tanh() if activation == "tanh" else z.double().sigmoid()
    error = (of(way, activation, z).double() - true).abs()
    info = torch.finfo(way.dtype)
    # plain torch's own are as far from the truth as this; e is not raised below -88
    assert (error <= 4 * info.eps * true.abs() + info.tiny).all()


@every_way
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid"])
def test_functions_end_where_they_should_and_keep_what_is_no_number(
    way: Way, activation: str
) -> None:
    z = torch.tensor([float("nan"), float("inf"), float("-inf"), 1e4, -1e4, 0.0]).to(way.dtype)
    true = {
        "relu": z.relu(),
        "leaky_relu": torch.nn.functional.leaky_relu(z),
        "tanh": z.tanh(),
        "sigmoid": z.sigmoid(),
    }
    torch.testing.assert_close(
        of(way, activation, z), true[activation], equal_nan=True, rtol=1e-6, atol=1e-37
    )


@every_way
def test_a_number_is_the_same_wherever_it_stands_in_a_vector(way: Way) -> None:
    z = torch.linspace(-9, 9, 77, dtype=torch.float64).to(way.dtype)
    outputs = 11  # columns: some in whole vectors, some not
    weight = torch.ones(1, outputs, 1, dtype=way.dtype)
    for activation in ("tanh", "sigmoid"):
        h = affine(way, z[:, None], weight, weight[..., 0] * 0, activation)
        assert torch.equal(h[0], of(way, activation, z)[:, None].expand(-1, outputs))
