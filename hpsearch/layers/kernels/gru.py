"""A step of the GRU, there and back, as Triton kernels.

Their arguments are those of :class:`hpsearch.layers.kernel_layer.CellKernels`.
"""

import triton
import triton.language as tl

from hpsearch.layers.kernels.cell_parts import (
    BACKWARD,
    FORWARD,
    add_up,
    biases,
    incoming,
    sigmoid,
    tanh,
    tile,
)


@triton.jit(do_not_specialize=FORWARD)
def gru_forward(
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
    """Write the next state."""
    batch = groups * group
    gates_stride = gates_steps * batch
    state_stride = state_steps * batch
    row = tl.program_id(0) * n_rows + tl.arange(0, n_rows)
    before = tl.program_id(1).to(tl.int64) * hidden
    block = hidden.to(tl.int64) * gates_stride
    bias_ih += 3 * before
    bias_hh += 3 * before
    bias_r = biases(bias_ih, row, hidden) + biases(bias_hh, row, hidden)
    bias_z = biases(bias_ih + hidden, row, hidden) + biases(bias_hh + hidden, row, hidden)
    bias_n = biases(bias_ih + 2 * hidden, row, hidden)
    bias_own = biases(bias_hh + 2 * hidden, row, hidden)
    for start in range(0, n_columns if is_one else batch, n_columns):
        column = start + tl.arange(0, n_columns)
        is_there = (row < hidden)[:, None] & (column < batch)[None, :]
        place = 3 * before * gates_stride + tile(row, step * batch + column, gates_stride)
        at_r = gates + place
        at_z = at_r + block
        at_n = at_z + block
        at_ah = ah + 3 * before * batch + tile(row, column, batch)
        r = tl.load(at_r, mask=is_there, other=0.0)
        r = sigmoid(r + tl.load(at_ah, mask=is_there, other=0.0) + bias_r)
        at_ah += hidden.to(tl.int64) * batch
        z = tl.load(at_z, mask=is_there, other=0.0)
        z = sigmoid(z + tl.load(at_ah, mask=is_there, other=0.0) + bias_z)
        at_ah += hidden.to(tl.int64) * batch
        inner = tl.load(at_ah, mask=is_there, other=0.0) + bias_own
        n = tanh(tl.load(at_n, mask=is_there, other=0.0) + bias_n + r * inner)
        at = tile(row, before_step * batch + column, state_stride)
        was = tl.load(h + before * state_stride + at, mask=is_there, other=0.0)
        at = tile(row, after_step * batch + column, state_stride)
        tl.store(h_after + before * state_stride + at, n + z * (was - n), mask=is_there)
        if keeps:
            tl.store(at_r, r, mask=is_there)
            tl.store(at_z, z, mask=is_there)
            tl.store(at_n, n, mask=is_there)
            at = own + place + 2 * block
            tl.store(at, inner, mask=is_there)


@triton.jit(do_not_specialize=BACKWARD)
def gru_backward(
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
    """Replace what was kept by the gradients of what was contributed."""
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
        dense = before * batch + tile(row, column, batch)
        at = d + before * d_stride + tile(row, d_step * batch + column, d_stride)
        dh = incoming(later + dense, around + dense, at, is_there, is_last, has_d)
        place = 3 * before * gates_stride + tile(row, step * batch + column, gates_stride)
        of_z = place + block
        of_n = of_z + block
        z = tl.load(gates + of_z, mask=is_there, other=0.0)
        n = tl.load(gates + of_n, mask=is_there, other=0.0)
        at = h + before * state_stride + tile(row, step * batch + column, state_stride)
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
    add_up(sums_ih, row, hidden, total_r, is_last)
    add_up(sums_ih + hidden, row, hidden, total_z, is_last)
    add_up(sums_ih + 2 * hidden, row, hidden, total_n, is_last)
    add_up(sums_hh, row, hidden, total_own, is_last)
