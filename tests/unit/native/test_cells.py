"""Kernels of recurrent layers are torch's cells, step after step, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from operator import itemgetter

import pytest
import torch
from torch import Tensor

from hpsearch.native.cells import EVERY, N_GATES, cell_scratch_bytes
from tests.native import PLAIN, WAYS, Memory, Place, Way, bits, normal

N_LANES = 3
SIZES = [(1, 1, 1, 1), (5, 3, 7, 4), (9, 2, 17, 33), (13, 4, 33, 8), (7, 3, 48, 20)]
# of the largest number; the output before is rounded to bfloat16 where it is multiplied, and may
# be rounded another way if it differs by the last bit
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "pairs": 2e-2}

# every other way: single, double and pairs are among them, long vectors and short ones
every_way = pytest.mark.parametrize("way", WAYS[::2], ids=str)
every_cell = pytest.mark.parametrize("cell", sorted(N_GATES))
every_size = pytest.mark.parametrize("sizes", SIZES)

Results = dict[str, Tensor]


@dataclass
class Layers:
    """Lanes of a recurrent layer: its inputs, its parameters, the gradient of its outputs."""

    x: Tensor  # lanes, batch, steps, inputs; lanes are left out if they share it
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor
    d: Tensor  # lanes, batch, steps, hidden; steps are left out if only the last one has any

    def map(self, change: Callable[[Tensor], Tensor]) -> "Layers":
        """Return others, made of every tensor of these that has lanes."""
        made = {name: change(one) for name, one in vars(self).items() if name != "x"}
        return Layers(x=change(self.x) if self.x.dim() == 4 else self.x, **made)


def layers(
    way: Way, cell: str, sizes: tuple[int, ...], *, has_all: bool = True, is_shared: bool = False
) -> Layers:
    batch, steps, hidden, inputs = sizes
    rows = hidden * N_GATES[cell]
    return Layers(
        x=normal(way, 1, *(() if is_shared else (N_LANES,)), batch, steps, inputs),
        weight_ih=normal(way, 2, N_LANES, rows, inputs) / inputs**0.5,
        weight_hh=normal(way, 3, N_LANES, rows, hidden) / hidden**0.5,
        bias_ih=normal(way, 4, N_LANES, rows) / 4,
        bias_hh=normal(way, 5, N_LANES, rows) / 4,
        d=normal(way, 6, N_LANES, batch, *((steps,) if has_all else ()), hidden),
    )


def results(way: Way, cell: str, its: Layers, place: Place = PLAIN) -> Results:
    """Return outputs and gradients as kernels work them out."""
    lanes, rows, inputs = its.weight_ih.shape
    batch, steps = its.x.shape[-3:-1]
    hidden, dtype = its.weight_hh.shape[2], way.dtype
    sizes = {"lanes": lanes, "batch": batch, "steps": steps, "hidden": hidden, "rows": rows}
    x = Memory.of(its.x.flatten(-3, -2), place)

    def room(*shape: int) -> Memory:
        return Memory(shape, dtype)

    kept = {name: room(lanes, batch, steps, hidden) for name in ("before", "memory", "shown")}
    gates, weight_hh = room(lanes, batch, steps, rows), Memory.of(its.weight_hh)
    out, last = room(lanes, batch, steps, hidden), room(lanes, batch, hidden)
    scratch = cell_scratch_bytes(batch, hidden, inputs)
    forward = way.call(
        "cell_forward",
        cell,
        **sizes,
        inputs=inputs,
        weight_ih=Memory.of(its.weight_ih),
        weight_hh=weight_hh,
        bias_ih=Memory.of(its.bias_ih),
        bias_hh=Memory.of(its.bias_hh),
        x=x,
        x_lane=0 if its.x.dim() == 3 else x.strides[0],
        x_row=x.strides[-2],
        gates=gates,
        gates_row=gates.strides[-2],
        out=out,
        last=last,
        scratch=Memory((scratch,), torch.uint8),
        **kept,
    )
    d_ah, d = room(lanes, batch, steps, rows), Memory.of(its.d)
    backward = way.call(
        "cell_backward",
        cell + (EVERY if its.d.dim() == 4 else ""),
        **sizes,
        weight_hh=weight_hh,
        gates=gates,
        gates_row=gates.strides[-2],
        d=d,
        d_lane=d.strides[0],
        d_ah=d_ah if cell == "gru" else 0,
        scratch=Memory((scratch,), torch.uint8),
        **kept,
    )
    used = bounds(way, cell, batch, hidden, inputs)
    assert forward <= used[0]
    assert backward <= used[1]
    found = {"out": out, "last": last, "before": kept["before"], "d_ai": gates, "d_ah": d_ah}
    return {name: one.tensor for name, one in found.items() if name != "d_ah" or cell == "gru"}


def bounds(way: Way, cell: str, batch: int, hidden: int, inputs: int) -> tuple[int, int]:
    """Return the bytes of scratch memory both kernels use at most, from how they cut blocks."""
    shape, n_gates = way.shape, N_GATES[cell]
    vector, group, rows = shape.lanes * shape.size, shape.group, shape.rows
    spread = 1 if n_gates > 1 else 2

    def packed(n: int) -> int:
        return -(-n // shape.run) * vector

    def blocks(spread: int) -> int:
        return -(-hidden // (shape.lanes * spread))

    state = blocks(spread) * spread * vector
    summands = -(-inputs // group) - (-hidden // group)
    forward = blocks(spread) * summands * n_gates * spread * vector
    forward += (batch + rows) * (packed(inputs) + 2 * state) + batch * state
    forward += packed(max(inputs, hidden)) if way.is_paired else 0
    n_rows = n_gates * hidden
    backward = blocks(2) * -(-n_rows // group) * 2 * vector
    backward += (batch + rows) * packed(n_rows) + 2 * batch * blocks(2) * 2 * vector
    return forward, backward


def plain(way: Way, cell: str, its: Layers) -> Results:
    """Return the same by torch's autograd, in float64, of numbers rounded as they are."""
    lanes, rows, _ = its.weight_ih.shape
    batch, steps = its.x.shape[-3:-1]
    hidden = its.weight_hh.shape[2]
    w_ih, w_hh, x = (way.rounded(one) for one in (its.weight_ih, its.weight_hh, its.x))
    nothing = torch.zeros(lanes, batch, steps, rows, dtype=torch.float64)
    more_ai, more_ah = (nothing.clone().requires_grad_() for _ in range(2))
    h = c = torch.zeros(lanes, batch, hidden, dtype=torch.float64)
    outputs = [h]
    for t in range(steps):
        shown = h + (way.rounded(h.detach().float()) - h.detach() if way.is_paired else 0.0)
        ai = x[..., t, :] @ w_ih.mT + its.bias_ih.double()[:, None] + more_ai[:, :, t]
        ah = shown @ w_hh.mT + its.bias_hh.double()[:, None] + more_ah[:, :, t]
        if cell == "gru":
            r, z, _ = (ai + ah).sigmoid().chunk(3, 2)
            n = (ai.chunk(3, 2)[2] + r * ah.chunk(3, 2)[2]).tanh()
            h = (1 - z) * n + z * h
        elif cell == "lstm":
            i, f, g, o = (ai + ah).chunk(4, 2)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        else:
            h = (ai + ah).tanh() if cell == "tanh" else (ai + ah).relu()
        outputs.append(h)
    out = torch.stack(outputs, 2)
    slope = its.d.double()
    given = out[:, :, 1:] if slope.dim() == 4 else out[:, :, -1]
    d_ai, d_ah = torch.autograd.grad(given, (more_ai, more_ah), slope)
    found = {"out": out[:, :, 1:], "last": out[:, :, -1], "before": out[:, :, :-1], "d_ai": d_ai}
    return found | ({"d_ah": d_ah} if cell == "gru" else {})


@every_way
@every_cell
@every_size
@pytest.mark.parametrize(("has_all", "is_shared"), [(True, False), (False, True)])
def test_outputs_and_gradients_are_torchs(
    way: Way, cell: str, sizes: tuple[int, ...], has_all: bool, is_shared: bool
) -> None:
    its = layers(way, cell, sizes, has_all=has_all, is_shared=is_shared)
    found = results(way, cell, its, Place(gap=2, is_last=False, shift=3))
    tolerance = TOLERANCE[str(way).partition("-")[2]]
    for name, expected in plain(way, cell, its).items():
        if way.is_paired and cell == "relu" and name.startswith("d_"):
            continue  # a kink, on either side of which an output may be rounded to
        error = (found[name].double() - expected).abs().max() / (expected.abs().max() + 1e-3)
        assert error <= tolerance, name


@every_way
@every_cell
@pytest.mark.parametrize("sizes", SIZES[1:4])
def test_a_lane_alone_in_another_row_and_beside_a_wild_one(
    way: Way, cell: str, sizes: tuple[int, ...]
) -> None:
    its, order = layers(way, cell, sizes), [2, 0, 1]
    together = results(way, cell, its)
    swapped = results(way, cell, its.map(itemgetter(order)))

    def spoilt(one: Tensor) -> Tensor:
        one = one.clone()
        one[1] = float("nan")
        return one

    beside = results(way, cell, its.map(spoilt))
    alone = results(way, cell, its.map(itemgetter(slice(2, 3))), Place(is_last=False, shift=5))
    for name, one in together.items():
        assert torch.equal(bits(one[order]), bits(swapped[name])), name
        assert torch.equal(bits(one[::2]), bits(beside[name][::2])), name
        assert torch.equal(bits(one[2]), bits(alone[name][0])), name


@every_way
@every_cell
@pytest.mark.parametrize("sizes", SIZES[1:4])
@pytest.mark.parametrize("more", [1, 20])
def test_zeros_around_a_narrower_lane_change_nothing_and_stay(
    way: Way, cell: str, sizes: tuple[int, ...], more: int
) -> None:
    its, hidden, n_gates = layers(way, cell, sizes), sizes[2], N_GATES[cell]

    def padded(one: Tensor) -> Tensor:  # behind the units of each gate, the first axis of lanes
        by_gate = one.reshape(N_LANES, n_gates, hidden, -1)
        wider = torch.nn.functional.pad(by_gate, (0, 0, 0, more))
        return wider.reshape(N_LANES, n_gates * (hidden + more), *one.shape[2:])

    wide = Layers(
        x=its.x,
        weight_ih=padded(its.weight_ih),
        weight_hh=torch.nn.functional.pad(padded(its.weight_hh), (0, more)),
        bias_ih=padded(its.bias_ih),
        bias_hh=padded(its.bias_hh),
        d=torch.nn.functional.pad(its.d, (0, more)),
    )
    narrow, found = results(way, cell, its), results(way, cell, wide)
    for name, one in narrow.items():
        gates = n_gates if name.startswith("d_") else 1
        other = found[name].reshape(*one.shape[:-1], gates, hidden + more)
        inside = other[..., :hidden]
        if way.is_paired and n_gates > 1:  # behind zeros a gate's numbers form other pairs
            torch.testing.assert_close(inside.reshape(one.shape), one, rtol=0.02, atol=0.02)
        else:
            assert torch.equal(bits(one), bits(inside.reshape(one.shape))), name
        assert not other[..., hidden:].any(), name


@every_way
@every_cell
def test_an_example_that_is_no_number_spoils_no_other(way: Way, cell: str) -> None:
    its = layers(way, cell, (9, 3, 17, 5))
    clean = results(way, cell, its)
    its.x[1, 4, 1] = float("nan")
    for name, one in results(way, cell, its).items():
        assert not one[0].isnan().any(), name
        others = [b for b in range(9) if b != 4]
        assert torch.equal(bits(one[1, others]), bits(clean[name][1, others])), name
    assert results(way, cell, its)["last"][1, 4].isnan().all()


@every_way
@every_cell
def test_scratch_memory_is_enough_for_any_layer(way: Way, cell: str) -> None:
    # see the same of linear layers
    few, many = range(1, 66, 4), (2**8 - 1, 2**16, 2**24 + 1)
    for sizes in product((*few, *many), repeat=3):
        assert max(bounds(way, cell, *sizes)) <= cell_scratch_bytes(*sizes)
