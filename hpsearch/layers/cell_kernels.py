"""Recurrent cells as Triton kernels: one launch for a step of all lanes, one pass over memory.

The cells are those of :mod:`hpsearch.layers.cells`, which they are tested against. Triton comes
with torch on machines with a GPU; this module is imported only where it is used.

A kernel runs on a grid (blocks of units, lanes). Its arrays hold ``hidden`` rows a lane and gate,
and ``batch`` columns a step: ``groups`` times ``group``, so that one code does for many sizes and
still reads several numbers at once. Rows are ``stride`` numbers apart. One program holds all
columns of its rows, so that it can add them up: the biases' gradients need no pass of their own.
"""

import math
from collections.abc import Sequence
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from hpsearch.layers.activations import Relu, Tanh
from hpsearch.layers.cells import Cell, Gru, Lstm, State, Vanilla
from hpsearch.layers.kernel_layer import CellKernels

_BLOCK = 512  # numbers of each array that a program works on at once: four a thread
_WIDEST = 4  # numbers that a thread reads at once, if they stand at such a boundary
_COUNTS = ("hidden", "groups", "gates_steps", "state_steps")  # no code of their own for any value
_FORWARD = (*_COUNTS, "step", "before_step", "after_step")
_BACKWARD = (*_COUNTS, "d_steps", "step", "d_step")


@triton.jit
def _tile(row, column, stride):
    """Return where rows and columns stand in an array, in numbers from its lane's first one."""
    return (row.to(tl.int64) * stride)[:, None] + column[None, :]


@triton.jit
def _bias(bias, row, hidden):
    return tl.load(bias + row, mask=row < hidden, other=0.0)[:, None]


@triton.jit
def _add_up(sums, row, hidden, total, is_last: tl.constexpr):
    """Add to sums over all steps; the last step is the first on the way back and begins them."""
    if not is_last:
        total += tl.load(sums + row, mask=row < hidden, other=0.0)
    tl.store(sums + row, total, mask=row < hidden)


@triton.jit
def _sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def _tanh(x):
    """Return tanh x: near zero by a rational function of x², because 1 - exp(-2x) cancels there.

    Source: Cephes, tanh.c; right to two units in the last place of float64.
    """
    square = tl.minimum(x * x, 1.0)
    p = -9.64399179425052238628e-1 * square - 9.92877231001918586564e1
    p = p * square - 1.61468768441708447952e3
    q = (square + 1.12811678491632931402e2) * square + 2.23548839060100448583e3
    q = q * square + 4.84406305325125486048e3
    near = x + x * square * (p / q)
    t = tl.exp(-2 * tl.abs(x))
    far = (1 - t) / (1 + t)
    return tl.where(tl.abs(x) < 0.625, near, tl.where(x < 0, -far, far))


@triton.jit
def _incoming(later, around, d, is_there, is_last: tl.constexpr, has_d: tl.constexpr):
    """Return the gradient of a step's output: what later steps and what the next layer ask for."""
    if is_last:
        dh = tl.load(d, mask=is_there, other=0.0)
    else:
        dh = tl.load(later, mask=is_there, other=0.0) + tl.load(around, mask=is_there, other=0.0)
        if has_d:
            dh += tl.load(d, mask=is_there, other=0.0)
    return dh


@triton.jit(do_not_specialize=_FORWARD)
def _vanilla_forward(
    gates,
    ah,
    bias_ih,
    bias_hh,
    h,
    h_after,
    hidden,
    groups,
    gates_steps,
    state_steps,
    step,
    before_step,
    after_step,
    group: tl.constexpr,
    keeps: tl.constexpr,
    n_rows: tl.constexpr,
    n_columns: tl.constexpr,
    is_one: tl.constexpr,
    is_relu: tl.constexpr,
):
    batch = groups * group
    gates_stride = gates_steps * batch
    state_stride = state_steps * batch
    row = tl.program_id(0) * n_rows + tl.arange(0, n_rows)
    before = tl.program_id(1).to(tl.int64) * hidden  # rows of the lanes before this one
    bias = _bias(bias_ih + before, row, hidden) + _bias(bias_hh + before, row, hidden)
    for start in range(0, n_columns if is_one else batch, n_columns):
        column = start + tl.arange(0, n_columns)
        is_there = (row < hidden)[:, None] & (column < batch)[None, :]
        at = gates + before * gates_stride + _tile(row, step * batch + column, gates_stride)
        a = tl.load(at, mask=is_there, other=0.0)
        at = ah + before * batch + _tile(row, column, batch)
        a += tl.load(at, mask=is_there, other=0.0) + bias
        out = tl.where(a <= 0, 0.0, a) if is_relu else _tanh(a)
        at = _tile(row, after_step * batch + column, state_stride)
        tl.store(h_after + before * state_stride + at, out, mask=is_there)


@triton.jit(do_not_specialize=_BACKWARD)
def _vanilla_backward(
    gates,
    later,
    around,
    d,
    sums_ih,
    sums_hh,
    h,
    hidden,
    groups,
    gates_steps,
    state_steps,
    d_steps,
    step,
    d_step,
    group: tl.constexpr,
    is_last: tl.constexpr,
    has_d: tl.constexpr,
    n_rows: tl.constexpr,
    n_columns: tl.constexpr,
    is_one: tl.constexpr,
    is_relu: tl.constexpr,
):
    batch = groups * group
    gates_stride = gates_steps * batch
    state_stride = state_steps * batch
    d_stride = d_steps * batch
    row = tl.program_id(0) * n_rows + tl.arange(0, n_rows)
    before = tl.program_id(1).to(tl.int64) * hidden
    total = tl.zeros((n_rows,), gates.dtype.element_ty)
    for start in range(0, n_columns if is_one else batch, n_columns):
        column = start + tl.arange(0, n_columns)
        is_there = (row < hidden)[:, None] & (column < batch)[None, :]
        at_d = d + before * d_stride + _tile(row, d_step * batch + column, d_stride)
        if is_last:
            dh = tl.load(at_d, mask=is_there, other=0.0)
        else:
            at = later + before * batch + _tile(row, column, batch)
            dh = tl.load(at, mask=is_there, other=0.0)
            if has_d:
                dh += tl.load(at_d, mask=is_there, other=0.0)
        at = h + before * state_stride + _tile(row, (step + 1) * batch + column, state_stride)
        out = tl.load(at, mask=is_there, other=0.0)
        da = tl.where(out <= 0, 0.0, dh) if is_relu else dh * (1 - out * out)
        at = gates + before * gates_stride + _tile(row, step * batch + column, gates_stride)
        tl.store(at, da, mask=is_there)
        total += tl.sum(da, 1)
    _add_up(sums_ih + before, row, hidden, total, is_last)


@triton.jit(do_not_specialize=_FORWARD)
def _gru_forward(
    gates,
    ah,
    bias_ih,
    bias_hh,
    h,
    h_after,
    own,
    hidden,
    groups,
    gates_steps,
    state_steps,
    step,
    before_step,
    after_step,
    group: tl.constexpr,
    keeps: tl.constexpr,
    n_rows: tl.constexpr,
    n_columns: tl.constexpr,
    is_one: tl.constexpr,
):
    batch = groups * group
    gates_stride = gates_steps * batch
    state_stride = state_steps * batch
    row = tl.program_id(0) * n_rows + tl.arange(0, n_rows)
    before = tl.program_id(1).to(tl.int64) * hidden
    block = hidden.to(tl.int64) * gates_stride
    bias_ih += 3 * before
    bias_hh += 3 * before
    bias_r = _bias(bias_ih, row, hidden) + _bias(bias_hh, row, hidden)
    bias_z = _bias(bias_ih + hidden, row, hidden) + _bias(bias_hh + hidden, row, hidden)
    bias_n = _bias(bias_ih + 2 * hidden, row, hidden)
    bias_own = _bias(bias_hh + 2 * hidden, row, hidden)
    for start in range(0, n_columns if is_one else batch, n_columns):
        column = start + tl.arange(0, n_columns)
        is_there = (row < hidden)[:, None] & (column < batch)[None, :]
        place = 3 * before * gates_stride + _tile(row, step * batch + column, gates_stride)
        at_r = gates + place
        at_z = at_r + block
        at_n = at_z + block
        at_ah = ah + 3 * before * batch + _tile(row, column, batch)
        r = tl.load(at_r, mask=is_there, other=0.0)
        r = _sigmoid(r + tl.load(at_ah, mask=is_there, other=0.0) + bias_r)
        at_ah += hidden.to(tl.int64) * batch
        z = tl.load(at_z, mask=is_there, other=0.0)
        z = _sigmoid(z + tl.load(at_ah, mask=is_there, other=0.0) + bias_z)
        at_ah += hidden.to(tl.int64) * batch
        inner = tl.load(at_ah, mask=is_there, other=0.0) + bias_own
        n = _tanh(tl.load(at_n, mask=is_there, other=0.0) + bias_n + r * inner)
        at = _tile(row, before_step * batch + column, state_stride)
        was = tl.load(h + before * state_stride + at, mask=is_there, other=0.0)
        at = _tile(row, after_step * batch + column, state_stride)
        tl.store(h_after + before * state_stride + at, n + z * (was - n), mask=is_there)
        if keeps:
            tl.store(at_r, r, mask=is_there)
            tl.store(at_z, z, mask=is_there)
            tl.store(at_n, n, mask=is_there)
            at = own + place + 2 * block
            tl.store(at, inner, mask=is_there)


@triton.jit(do_not_specialize=_BACKWARD)
def _gru_backward(
    gates,
    later,
    around,
    d,
    sums_ih,
    sums_hh,
    h,
    own,
    hidden,
    groups,
    gates_steps,
    state_steps,
    d_steps,
    step,
    d_step,
    group: tl.constexpr,
    is_last: tl.constexpr,
    has_d: tl.constexpr,
    n_rows: tl.constexpr,
    n_columns: tl.constexpr,
    is_one: tl.constexpr,
):
    batch = groups * group
    gates_stride = gates_steps * batch
    state_stride = state_steps * batch
    d_stride = d_steps * batch
    row = tl.program_id(0) * n_rows + tl.arange(0, n_rows)
    before = tl.program_id(1).to(tl.int64) * hidden
    block = hidden.to(tl.int64) * gates_stride
    total_r = tl.zeros((n_rows,), gates.dtype.element_ty)
    total_z = tl.zeros((n_rows,), gates.dtype.element_ty)
    total_n = tl.zeros((n_rows,), gates.dtype.element_ty)
    total_own = tl.zeros((n_rows,), gates.dtype.element_ty)
    for start in range(0, n_columns if is_one else batch, n_columns):
        column = start + tl.arange(0, n_columns)
        is_there = (row < hidden)[:, None] & (column < batch)[None, :]
        dense = before * batch + _tile(row, column, batch)
        at = d + before * d_stride + _tile(row, d_step * batch + column, d_stride)
        dh = _incoming(later + dense, around + dense, at, is_there, is_last, has_d)
        place = 3 * before * gates_stride + _tile(row, step * batch + column, gates_stride)
        of_z = place + block
        of_n = of_z + block
        z = tl.load(gates + of_z, mask=is_there, other=0.0)
        n = tl.load(gates + of_n, mask=is_there, other=0.0)
        at = h + before * state_stride + _tile(row, step * batch + column, state_stride)
        was = tl.load(at, mask=is_there, other=0.0)
        tl.store(around + dense, dh * z, mask=is_there)
        dz = dh * (was - n) * z * (1 - z)
        tl.store(gates + of_z, dz, mask=is_there)
        tl.store(own + of_z, dz, mask=is_there)
        total_z += tl.sum(dz, 1)
        dn = dh * (1 - z) * (1 - n * n)
        tl.store(gates + of_n, dn, mask=is_there)
        total_n += tl.sum(dn, 1)
        r = tl.load(gates + place, mask=is_there, other=0.0)
        dr = dn * tl.load(own + of_n, mask=is_there, other=0.0) * r * (1 - r)
        tl.store(gates + place, dr, mask=is_there)
        tl.store(own + place, dr, mask=is_there)
        total_r += tl.sum(dr, 1)
        tl.store(own + of_n, dn * r, mask=is_there)
        total_own += tl.sum(dn * r, 1)
    sums_ih += 3 * before
    sums_hh += 3 * before + 2 * hidden
    _add_up(sums_ih, row, hidden, total_r, is_last)
    _add_up(sums_ih + hidden, row, hidden, total_z, is_last)
    _add_up(sums_ih + 2 * hidden, row, hidden, total_n, is_last)
    _add_up(sums_hh, row, hidden, total_own, is_last)


@triton.jit(do_not_specialize=_FORWARD)
def _lstm_forward(
    gates,
    ah,
    bias_ih,
    bias_hh,
    h,
    c,
    h_after,
    c_after,
    hidden,
    groups,
    gates_steps,
    state_steps,
    step,
    before_step,
    after_step,
    group: tl.constexpr,
    keeps: tl.constexpr,
    n_rows: tl.constexpr,
    n_columns: tl.constexpr,
    is_one: tl.constexpr,
):
    batch = groups * group
    gates_stride = gates_steps * batch
    state_stride = state_steps * batch
    row = tl.program_id(0) * n_rows + tl.arange(0, n_rows)
    before = tl.program_id(1).to(tl.int64) * hidden
    block = hidden.to(tl.int64) * gates_stride
    bias_ih += 4 * before
    bias_hh += 4 * before
    bias_i = _bias(bias_ih, row, hidden) + _bias(bias_hh, row, hidden)
    bias_f = _bias(bias_ih + hidden, row, hidden) + _bias(bias_hh + hidden, row, hidden)
    bias_g = _bias(bias_ih + 2 * hidden, row, hidden) + _bias(bias_hh + 2 * hidden, row, hidden)
    bias_o = _bias(bias_ih + 3 * hidden, row, hidden) + _bias(bias_hh + 3 * hidden, row, hidden)
    for start in range(0, n_columns if is_one else batch, n_columns):
        column = start + tl.arange(0, n_columns)
        is_there = (row < hidden)[:, None] & (column < batch)[None, :]
        at_i = gates + 4 * before * gates_stride
        at_i += _tile(row, step * batch + column, gates_stride)
        at_f = at_i + block
        at_g = at_f + block
        at_o = at_g + block
        at_ah = ah + 4 * before * batch + _tile(row, column, batch)
        i = tl.load(at_i, mask=is_there, other=0.0)
        i = _sigmoid(i + tl.load(at_ah, mask=is_there, other=0.0) + bias_i)
        at_ah += hidden.to(tl.int64) * batch
        f = tl.load(at_f, mask=is_there, other=0.0)
        f = _sigmoid(f + tl.load(at_ah, mask=is_there, other=0.0) + bias_f)
        at_ah += hidden.to(tl.int64) * batch
        g = tl.load(at_g, mask=is_there, other=0.0)
        g = _tanh(g + tl.load(at_ah, mask=is_there, other=0.0) + bias_g)
        at_ah += hidden.to(tl.int64) * batch
        o = tl.load(at_o, mask=is_there, other=0.0)
        o = _sigmoid(o + tl.load(at_ah, mask=is_there, other=0.0) + bias_o)
        at = _tile(row, before_step * batch + column, state_stride)
        memory = f * tl.load(c + before * state_stride + at, mask=is_there, other=0.0) + i * g
        at = before * state_stride + _tile(row, after_step * batch + column, state_stride)
        tl.store(c_after + at, memory, mask=is_there)
        tl.store(h_after + at, o * _tanh(memory), mask=is_there)
        if keeps:
            tl.store(at_i, i, mask=is_there)
            tl.store(at_f, f, mask=is_there)
            tl.store(at_g, g, mask=is_there)
            tl.store(at_o, o, mask=is_there)


@triton.jit(do_not_specialize=_BACKWARD)
def _lstm_backward(
    gates,
    later,
    around,
    d,
    sums_ih,
    sums_hh,
    c,
    hidden,
    groups,
    gates_steps,
    state_steps,
    d_steps,
    step,
    d_step,
    group: tl.constexpr,
    is_last: tl.constexpr,
    has_d: tl.constexpr,
    n_rows: tl.constexpr,
    n_columns: tl.constexpr,
    is_one: tl.constexpr,
):
    batch = groups * group
    gates_stride = gates_steps * batch
    state_stride = state_steps * batch
    d_stride = d_steps * batch
    row = tl.program_id(0) * n_rows + tl.arange(0, n_rows)
    before = tl.program_id(1).to(tl.int64) * hidden
    block = hidden.to(tl.int64) * gates_stride
    total_i = tl.zeros((n_rows,), gates.dtype.element_ty)
    total_f = tl.zeros((n_rows,), gates.dtype.element_ty)
    total_g = tl.zeros((n_rows,), gates.dtype.element_ty)
    total_o = tl.zeros((n_rows,), gates.dtype.element_ty)
    for start in range(0, n_columns if is_one else batch, n_columns):
        column = start + tl.arange(0, n_columns)
        is_there = (row < hidden)[:, None] & (column < batch)[None, :]
        dense = before * batch + _tile(row, column, batch)
        at_d = d + before * d_stride + _tile(row, d_step * batch + column, d_stride)
        if is_last:
            dh = tl.load(at_d, mask=is_there, other=0.0)
        else:  # the output reaches the next step by the gates alone
            dh = tl.load(later + dense, mask=is_there, other=0.0)
            if has_d:
                dh += tl.load(at_d, mask=is_there, other=0.0)
        at = c + before * state_stride + _tile(row, step * batch + column, state_stride)
        was = tl.load(at, mask=is_there, other=0.0)
        shown = _tanh(tl.load(at + batch, mask=is_there, other=0.0))
        at_i = gates + 4 * before * gates_stride
        at_i += _tile(row, step * batch + column, gates_stride)
        at_f = at_i + block
        at_g = at_f + block
        at_o = at_g + block
        o = tl.load(at_o, mask=is_there, other=0.0)
        do = dh * shown * o * (1 - o)
        tl.store(at_o, do, mask=is_there)
        total_o += tl.sum(do, 1)
        dc = dh * o * (1 - shown * shown)
        if not is_last:
            dc += tl.load(around + dense, mask=is_there, other=0.0)
        f = tl.load(at_f, mask=is_there, other=0.0)
        tl.store(around + dense, dc * f, mask=is_there)
        df = dc * was * f * (1 - f)
        tl.store(at_f, df, mask=is_there)
        total_f += tl.sum(df, 1)
        i = tl.load(at_i, mask=is_there, other=0.0)
        g = tl.load(at_g, mask=is_there, other=0.0)
        di = dc * g * i * (1 - i)
        tl.store(at_i, di, mask=is_there)
        total_i += tl.sum(di, 1)
        dg = dc * i * (1 - g * g)
        tl.store(at_g, dg, mask=is_there)
        total_g += tl.sum(dg, 1)
    sums_ih += 4 * before
    _add_up(sums_ih, row, hidden, total_i, is_last)
    _add_up(sums_ih + hidden, row, hidden, total_f, is_last)
    _add_up(sums_ih + 2 * hidden, row, hidden, total_g, is_last)
    _add_up(sums_ih + 3 * hidden, row, hidden, total_o, is_last)


_KERNELS: dict[type[Cell], tuple[Any, Any]] = {
    Vanilla: (_vanilla_forward, _vanilla_backward),
    Gru: (_gru_forward, _gru_backward),
    Lstm: (_lstm_forward, _lstm_backward),
}


class _Launches(CellKernels):
    """Launches the two kernels of a cell."""

    def __init__(self, cell: Cell, constants: dict[str, object]) -> None:
        super().__init__(cell)
        self._forward, self._backward = _KERNELS[type(cell)]
        self._constants = constants

    def forward(
        self,
        gates: Tensor,
        ah: Tensor,
        biases: Sequence[Tensor],
        states: tuple[State, State],
        own: Tensor,
        steps: tuple[int, int, int],
        *,
        keeps: bool,
    ) -> None:
        before, after = states
        rest = (own,) if self.cell.has_own_recurrent_bias else ()
        batch = ah.shape[2]
        _launch(
            self._forward,
            before[0].shape[:2],
            batch,
            (gates, ah, *biases, *before, *after, *rest),
            (gates, before[0]),
            steps,
            keeps=keeps,
            **self._constants,
        )

    def backward(
        self,
        gates: Tensor,
        own: Tensor,
        states: State,
        d: Tensor,
        later: tuple[Tensor, Tensor],
        sums: Sequence[Tensor],
        step: int,
    ) -> None:
        rest = (own,) if self.cell.has_own_recurrent_bias else ()
        batch = later[0].shape[2]
        is_last = (step + 1) * batch == gates.shape[2]
        of_all = d.shape[2] == gates.shape[2]
        _launch(
            self._backward,
            states[0].shape[:2],
            batch,
            (gates, *later, d, *sums, states[-1], *rest),
            (gates, states[0], d),
            (step, step if of_all else 0),
            is_last=is_last,
            has_d=of_all or is_last,
            **self._constants,
        )


def _launch(
    kernel: Any,
    shape: Sequence[int],
    batch: int,
    tensors: Sequence[Tensor],
    rooms: Sequence[Tensor],
    steps: Sequence[int],
    **constants: object,
) -> None:
    """Run a kernel over all lanes and units.

    Args:
        kernel: Of a cell.
        shape: Lanes and units.
        batch: Columns of a step.
        tensors: The kernel's.
        rooms: Of them those that have columns of several steps.
        steps: Which are meant.
        constants: The kernel's.
    """
    n_lanes, hidden = shape
    block = block_of(batch)
    counts = (hidden, batch // block["group"], *(room.shape[2] // batch for room in rooms))
    kernel[(triton.cdiv(hidden, block["n_rows"]), n_lanes)](
        *tensors, *counts, *steps, **block, **constants
    )


def block_of(batch: int) -> dict[str, int]:
    """Return the constants a kernel is compiled for: the same for many sizes of a batch."""
    n_columns = min(triton.next_power_of_2(batch), _BLOCK)
    return {
        "group": math.gcd(batch, _WIDEST),
        "n_rows": _BLOCK // n_columns,
        "n_columns": n_columns,
        "is_one": batch <= n_columns,
    }


def kernels_of(cell: Cell) -> CellKernels | None:
    """Return the kernels of a cell, None if there are none for it.

    Args:
        cell: Exactly one of those known here: one derived from them may do something else.
    """
    if type(cell) not in _KERNELS:
        return None
    if not isinstance(cell, Vanilla):
        return _Launches(cell, {})
    known = {Tanh: False, Relu: True}
    kind = type(cell.activation)
    return _Launches(cell, {"is_relu": known[kind]}) if kind in known else None
