"""A step of the LSTM, there and back, as Triton kernels.

Their arguments are those of :class:`hpsearch.layers.kernel_layer.CellKernels`.
"""

import triton
import triton.language as tl

from hpsearch.layers.kernels.cell_parts import (
    BACKWARD,
    FORWARD,
    add_up,
    biases,
    sigmoid,
    tanh,
    tile,
)


@triton.jit(do_not_specialize=FORWARD)
def lstm_forward(
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
    """Write the next state."""
    batch = groups * group
    gates_stride = gates_steps * batch
    state_stride = state_steps * batch
    row = tl.program_id(0) * n_rows + tl.arange(0, n_rows)
    before = tl.program_id(1).to(tl.int64) * hidden
    block = hidden.to(tl.int64) * gates_stride
    bias_ih += 4 * before
    bias_hh += 4 * before
    bias_i = biases(bias_ih, row, hidden) + biases(bias_hh, row, hidden)
    bias_f = biases(bias_ih + hidden, row, hidden) + biases(bias_hh + hidden, row, hidden)
    bias_g = biases(bias_ih + 2 * hidden, row, hidden) + biases(bias_hh + 2 * hidden, row, hidden)
    bias_o = biases(bias_ih + 3 * hidden, row, hidden) + biases(bias_hh + 3 * hidden, row, hidden)
    for start in range(0, n_columns if is_one else batch, n_columns):
        column = start + tl.arange(0, n_columns)
        is_there = (row < hidden)[:, None] & (column < batch)[None, :]
        at_i = gates + 4 * before * gates_stride
        at_i += tile(row, step * batch + column, gates_stride)
        at_f = at_i + block
        at_g = at_f + block
        at_o = at_g + block
        at_ah = ah + 4 * before * batch + tile(row, column, batch)
        i = tl.load(at_i, mask=is_there, other=0.0)
        i = sigmoid(i + tl.load(at_ah, mask=is_there, other=0.0) + bias_i)
        at_ah += hidden.to(tl.int64) * batch
        f = tl.load(at_f, mask=is_there, other=0.0)
        f = sigmoid(f + tl.load(at_ah, mask=is_there, other=0.0) + bias_f)
        at_ah += hidden.to(tl.int64) * batch
        g = tl.load(at_g, mask=is_there, other=0.0)
        g = tanh(g + tl.load(at_ah, mask=is_there, other=0.0) + bias_g)
        at_ah += hidden.to(tl.int64) * batch
        o = tl.load(at_o, mask=is_there, other=0.0)
        o = sigmoid(o + tl.load(at_ah, mask=is_there, other=0.0) + bias_o)
        at = tile(row, before_step * batch + column, state_stride)
        memory = f * tl.load(c + before * state_stride + at, mask=is_there, other=0.0) + i * g
        at = before * state_stride + tile(row, after_step * batch + column, state_stride)
        tl.store(c_after + at, memory, mask=is_there)
        tl.store(h_after + at, o * tanh(memory), mask=is_there)
        if keeps:
            tl.store(at_i, i, mask=is_there)
            tl.store(at_f, f, mask=is_there)
            tl.store(at_g, g, mask=is_there)
            tl.store(at_o, o, mask=is_there)


@triton.jit(do_not_specialize=BACKWARD)
def lstm_backward(
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
    """Replace what was kept by the gradients of what was contributed."""
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
        dense = before * batch + tile(row, column, batch)
        at_d = d + before * d_stride + tile(row, d_step * batch + column, d_stride)
        if is_last:
            dh = tl.load(at_d, mask=is_there, other=0.0)
        else:  # the output reaches the next step by the gates alone
            dh = tl.load(later + dense, mask=is_there, other=0.0)
            if has_d:
                dh += tl.load(at_d, mask=is_there, other=0.0)
        at = c + before * state_stride + tile(row, step * batch + column, state_stride)
        was = tl.load(at, mask=is_there, other=0.0)
        shown = tanh(tl.load(at + batch, mask=is_there, other=0.0))
        at_i = gates + 4 * before * gates_stride
        at_i += tile(row, step * batch + column, gates_stride)
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
    add_up(sums_ih, row, hidden, total_i, is_last)
    add_up(sums_ih + hidden, row, hidden, total_f, is_last)
    add_up(sums_ih + 2 * hidden, row, hidden, total_g, is_last)
    add_up(sums_ih + 3 * hidden, row, hidden, total_o, is_last)
