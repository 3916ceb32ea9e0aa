"""The cells as Triton kernels are the cells in plain torch; the interpreter runs on a CPU."""

from collections.abc import Iterator, Sequence
from types import ModuleType

import pytest
import torch
from torch import Tensor

from hpsearch.layers import cells
from hpsearch.layers.activations import Gelu, Relu, Tanh
from hpsearch.layers.cells import Cell, Gru, Lstm, Vanilla
from hpsearch.layers.kernel_layer import KernelLayer, kernels_of
from hpsearch.layers.products import Products
from hpsearch.layers.recurrent_layer import Layer, PlainLayer
from tests.interpreted import CELLS as KERNELS
from tests.interpreted import Counted, interpreted

pytest.importorskip("triton", reason="no Triton for this platform")

FEATURES = 3
CELLS = {"tanh": Vanilla(Tanh()), "relu": Vanilla(Relu()), "gru": Gru(), "lstm": Lstm()}
# lanes, units, batch, steps: several blocks of units; more columns than a block has; one of all
SIZES = ((2, 9, 100, 2), (1, 2, 520, 2), (1, 1, 1, 1))


@pytest.fixture(scope="module")
def kernels() -> Iterator[ModuleType]:
    with interpreted(*KERNELS) as (*_, module):
        yield module


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def parameters(cell: Cell, n_lanes: int, width: int) -> list[Tensor]:
    rows = cell.n_gates * width
    columns = (FEATURES, width, 1, 1)
    return [random(n_lanes, rows, n, seed=i) for i, n in enumerate(columns)]


def layers(
    cell: Cell, kernels: ModuleType, n_steps: int, *, is_exact: bool = True
) -> tuple[Layer, Layer]:
    products = Products(is_exact=is_exact)
    ours = KernelLayer(kernels.kernels_of(cell), products, n_steps)
    return PlainLayer(cell, products, n_steps), ours


def pass_both_ways(
    layer: Layer, own: Sequence[Tensor], x: Tensor, *, is_last: bool
) -> list[Tensor]:
    """Return outputs and all gradients."""
    out = layer.forward(own, x, is_last=is_last)
    gradients = [torch.full_like(one, float("nan")) for one in own]
    found, before = layer.backward(own, gradients, random(*out.shape, seed=9), is_first=False)
    assert before is not None
    return [out, *found, before]


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CELLS)
def test_a_kernel_is_the_cell(
    name: str, size: tuple[int, int, int, int], is_last: bool, kernels: ModuleType
) -> None:
    n_lanes, width, batch, n_steps = size
    own = parameters(CELLS[name], n_lanes, width)
    x = random(n_lanes, FEATURES, n_steps * batch, seed=5)
    plain, ours = (
        pass_both_ways(layer, own, x, is_last=is_last)
        for layer in layers(CELLS[name], kernels, n_steps)
    )
    torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_a_step_that_is_not_gone_back_is_the_cells(name: str, kernels: ModuleType) -> None:
    own = parameters(CELLS[name], 2, 5)
    states = []
    for layer in layers(CELLS[name], kernels, 1):
        state = layer.beginning(own, 7)
        for step in range(2):
            state = layer.advance(own, random(7, FEATURES, seed=step), state)
        states.append(state)
    torch.testing.assert_close(states[1], states[0], rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:invalid value")  # in the branch that infinity does not take
def test_tanh_is_right_to_the_last_places(kernels: ModuleType) -> None:
    a = torch.cat([torch.logspace(-300, 2, 400, dtype=torch.float64), random(400), torch.zeros(1)])
    a = torch.cat([a, -a, torch.tensor([float("inf"), -float("inf"), float("nan")])])
    a = torch.cat([a, torch.nextafter(torch.tensor([0.625, 0.625]).double(), a[:1])])
    out = torch.empty(1, 1, len(a), dtype=torch.float64)
    zero = torch.zeros_like(out)
    kernels.kernels_of(CELLS["tanh"]).forward(
        a[None, None],
        zero,
        (zero[:, :, :1], zero[:, :, :1]),
        ((zero,), (out,)),
        zero,
        (0, 0, 0),
        keeps=False,
    )
    torch.testing.assert_close(out[0, 0], a.tanh(), rtol=1e-15, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", CELLS)
def test_a_lane_that_is_no_number_leaves_the_others_alone(name: str, kernels: ModuleType) -> None:
    own = parameters(CELLS[name], 3, 4)
    x = random(3, FEATURES, 2 * 5, seed=5)
    good = pass_both_ways(layers(CELLS[name], kernels, 2)[1], own, x, is_last=True)
    x[1, 1, 3] = float("nan")
    bad = pass_both_ways(layers(CELLS[name], kernels, 2)[1], own, x, is_last=True)
    assert bad[0][1].isnan().any()
    for one, other in zip(good, bad, strict=True):
        assert torch.equal(one[[0, 2]], other[[0, 2]])


@pytest.mark.parametrize("name", CELLS)
def test_padding_stays_zero(name: str, kernels: ModuleType) -> None:
    cell, width, narrow = CELLS[name], 5, 3
    own = parameters(cell, 2, width)
    x = random(2, FEATURES, 2 * 6, seed=5)
    for parameter in own:  # the first lane is the narrow one
        parameter[0].view(cell.n_gates, width, -1)[:, narrow:].zero_()
    own[1][0, :, narrow:].zero_()
    layer = layers(cell, kernels, 2)[1]
    out = layer.forward(own, x, is_last=False)
    d = random(*out.shape, seed=9)
    d[0, narrow:].zero_()  # the next layer's weights are padded, too
    found, _ = layer.backward(own, [torch.empty_like(one) for one in own], d, is_first=True)
    assert not out[0, narrow:].any()
    for gradient in found:
        assert not gradient[0].view(cell.n_gates, width, -1)[:, narrow:].any()
    assert not found[1][0, :, narrow:].any()


def test_what_has_no_kernel_is_left_to_plain_torch(kernels: ModuleType) -> None:
    class Mine(Gru):
        pass

    assert kernels.kernels_of(Mine()) is None
    assert kernels.kernels_of(Vanilla(Gelu())) is None
    assert kernels_of(Gru(), torch.device("cpu")) is None


def test_a_kernel_is_compiled_for_few_sizes_of_a_batch(kernels: ModuleType) -> None:
    codes = {tuple(kernels.block_of(batch).items()) for batch in range(1, 8193)}
    assert len(codes) < 30


@pytest.mark.parametrize(
    ("name", "plain", "ours"),
    [("tanh", (4, 3), (2, 2)), ("gru", (9, 16), (2, 2)), ("lstm", (10, 15), (2, 2))],
)
def test_a_step_is_a_product_and_a_kernel(
    name: str,
    plain: tuple[int, int],
    ours: tuple[int, int],
    kernels: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launches: list[object] = []
    monkeypatch.setattr(kernels, "_launch", lambda *_, **__: launches.append(1))
    monkeypatch.setattr(cells, "sigmoid_", Tensor.sigmoid_)  # one kernel, as on a GPU

    def counted(which: int, n_steps: int) -> tuple[int, int]:
        layer = layers(CELLS[name], kernels, n_steps, is_exact=False)[which]
        own, x = parameters(CELLS[name], 1, 4), random(1, FEATURES, n_steps * 6)
        launches.clear()
        with Counted() as counter:
            out = layer.forward(own, x, is_last=True)
            n_forward = counter.n + len(launches)
            layer.backward(own, [torch.empty_like(one) for one in own], out, is_first=True)
        return n_forward, counter.n + len(launches) - n_forward

    found = []
    for which in (0, 1):
        few, many = counted(which, 3), counted(which, 4)
        found.append((many[0] - few[0], many[1] - few[1]))
    assert found == [plain, ours]
