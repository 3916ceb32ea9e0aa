"""A step of the vanilla cell, there and back, as Triton kernels.

Their arguments are those of :class:`hpsearch.layers.kernel_layer.CellKernels`.
"""

import triton
import triton.language as tl

from hpsearch.layers.kernels.cell_parts import BACKWARD, FORWARD, add_up, biases, tanh, tile


@triton.jit(do_not_specialize=FORWARD)
def vanilla_forward(
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
    """Write the next state."""
    batch = groups * group
    gates_stride = gates_steps * batch
    state_stride = state_steps * batch
    row = tl.program_id(0) * n_rows + tl.arange(0, n_rows)
    before = tl.program_id(1).to(tl.int64) * hidden  # rows of the lanes before this one
    bias = biases(bias_ih + before, row, hidden) + biases(bias_hh + before, row, hidden)
    for start in range(0, n_columns if is_one else batch, n_columns):
        column = start + tl.arange(0, n_columns)
        is_there = (row < hidden)[:, None] & (column < batch)[None, :]
        at = gates + before * gates_stride + tile(row, step * batch + column, gates_stride)
        a = tl.load(at, mask=is_there, other=0.0)
        at = ah + before * batch + tile(row, column, batch)
        a += tl.load(at, mask=is_there, other=0.0) + bias
        out = tl.where(a <= 0, 0.0, a) if is_relu else tanh(a)
        at = tile(row, after_step * batch + column, state_stride)
        tl.store(h_after + before * state_stride + at, out, mask=is_there)


@triton.jit(do_not_specialize=BACKWARD)
def vanilla_backward(
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
    """Replace what was kept by the gradients of what was contributed."""
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
        at_d = d + before * d_stride + tile(row, d_step * batch + column, d_stride)
        if is_last:
            dh = tl.load(at_d, mask=is_there, other=0.0)
        else:
            at = later + before * batch + tile(row, column, batch)
            dh = tl.load(at, mask=is_there, other=0.0)
            if has_d:
                dh += tl.load(at_d, mask=is_there, other=0.0)
        at = h + before * state_stride + tile(row, (step + 1) * batch + column, state_stride)
        out = tl.load(at, mask=is_there, other=0.0)
        da = tl.where(out <= 0, 0.0, dh) if is_relu else dh * (1 - out * out)
        at = gates + before * gates_stride + tile(row, step * batch + column, gates_stride)
        tl.store(at, da, mask=is_there)
        total += tl.sum(da, 1)
    add_up(sums_ih + before, row, hidden, total, is_last)
