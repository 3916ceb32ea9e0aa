"""What the kernels of all recurrent cells have in common.

A kernel runs on a grid (blocks of units, lanes). Its arrays hold ``hidden`` rows a lane and gate,
and ``batch`` columns a step: ``groups`` times ``group``, so that one code does for many sizes and
still reads several numbers at once. Rows are ``stride`` numbers apart. One program holds all
columns of its rows, so that it can add them up: the biases' gradients need no pass of their own.
"""

import triton
import triton.language as tl

_COUNTS = ("hidden", "groups", "gates_steps", "state_steps")  # no code of their own for any value
FORWARD = (*_COUNTS, "step", "before_step", "after_step")
BACKWARD = (*_COUNTS, "d_steps", "step", "d_step")


@triton.jit
def tile(row, column, stride):
    """Return where rows and columns stand in an array, in numbers from its lane's first one."""
    return (row.to(tl.int64) * stride)[:, None] + column[None, :]


@triton.jit
def biases(bias, row, hidden):
    """Return the biases of rows, as a column."""
    return tl.load(bias + row, mask=row < hidden, other=0.0)[:, None]


@triton.jit
def add_up(sums, row, hidden, total, is_last: tl.constexpr):
    """Add to sums over all steps; the last step is the first on the way back and begins them."""
    if not is_last:
        total += tl.load(sums + row, mask=row < hidden, other=0.0)
    tl.store(sums + row, total, mask=row < hidden)


@triton.jit
def sigmoid(x):
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + tl.exp(-x))


@triton.jit
def tanh(x):
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
def incoming(later, around, d, is_there, is_last: tl.constexpr, has_d: tl.constexpr):
    """Return the gradient of a step's output: what later steps and what the next layer ask for."""
    if is_last:
        dh = tl.load(d, mask=is_there, other=0.0)
    else:
        dh = tl.load(later, mask=is_there, other=0.0) + tl.load(around, mask=is_there, other=0.0)
        if has_d:
            dh += tl.load(d, mask=is_there, other=0.0)
    return dh
