"""Update rules as Triton kernels: one launch for a parameter of all lanes, one pass over memory.

The rules are those of ``hpsearch.optimizers``, operation for operation; what they are tested
against is the rule in plain torch.
"""

from collections.abc import Sequence
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from hpsearch.optimizers.adagrad import Adagrad
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.adamax import Adamax
from hpsearch.optimizers.adamw import AdamW
from hpsearch.optimizers.base import Optimizer
from hpsearch.optimizers.rmsprop import RmsProp
from hpsearch.optimizers.sgd import Sgd
from hpsearch.training.kernels.launch import L2, Launch

_BLOCK = 1024  # numbers of one lane that one program of the grid updates

# Every kernel runs on a grid (blocks of a lane's numbers, lanes) and reads the coefficients of
# its lane from row `row[0]` of the table, in the order of the rule's `coefficients`. Where the
# gradient of an l2 term is still to be added, its coefficient is the last of the `width` columns.


@triton.jit
def _places(size, block: tl.constexpr):
    """Return where this program's numbers stand, and which of them there are."""
    inside = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    return tl.program_id(1).to(tl.int64) * size + inside, inside < size


@triton.jit
def _coefficient(table, row, width: tl.constexpr, name: tl.constexpr):
    """Return one coefficient of this program's lane."""
    n_lanes = tl.num_programs(1)
    return tl.load(table + (tl.load(row) * width + name) * n_lanes + tl.program_id(1))


@triton.jit
def _both(weight, gradient, at, is_there, table, row, width: tl.constexpr, l2: tl.constexpr):
    """Return the weights and their gradient."""
    w = tl.load(weight + at, mask=is_there)
    g = tl.load(gradient + at, mask=is_there)
    if l2:
        g = g + w * _coefficient(table, row, width, width - 1)
    return w, g


@triton.jit
def _sgd(
    weight,
    gradient,
    momentum,
    table,
    row,
    size,
    looks_ahead: tl.constexpr,
    width: tl.constexpr,
    l2: tl.constexpr,
    block: tl.constexpr,
):
    at, is_there = _places(size, block)
    rate = _coefficient(table, row, width, 0)
    w, g = _both(weight, gradient, at, is_there, table, row, width, l2)
    v = tl.load(momentum + at, mask=is_there)
    v = v * _coefficient(table, row, width, 1) + g
    tl.store(momentum + at, v, mask=is_there)
    direction = v
    if looks_ahead:  # some lane looks ahead
        ahead = g + v * _coefficient(table, row, width, 2)
        direction = tl.where(_coefficient(table, row, width, 3) > 0, ahead, v)
    tl.store(weight + at, w - direction * rate, mask=is_there)


@triton.jit
def _adam(
    weight,
    gradient,
    mean,
    square,
    table,
    row,
    size,
    decays: tl.constexpr,
    width: tl.constexpr,
    l2: tl.constexpr,
    block: tl.constexpr,
):
    at, is_there = _places(size, block)
    w, g = _both(weight, gradient, at, is_there, table, row, width, l2)
    m = tl.load(mean + at, mask=is_there)
    s = tl.load(square + at, mask=is_there)
    m = m * _coefficient(table, row, width, 0) + g * _coefficient(table, row, width, 2)
    s = s * _coefficient(table, row, width, 1) + g * _coefficient(table, row, width, 3) * g
    tl.store(mean + at, m, mask=is_there)
    tl.store(square + at, s, mask=is_there)
    step_size = _coefficient(table, row, width, 4)
    root = tl.sqrt(s) / _coefficient(table, row, width, 5)
    if decays:  # weights that decay apart from the gradient
        w = w * _coefficient(table, row, width, 7)
    w = w - m * step_size / (root + _coefficient(table, row, width, 6))
    tl.store(weight + at, w, mask=is_there)


@triton.jit
def _adamax(
    weight,
    gradient,
    mean,
    largest,
    table,
    row,
    size,
    width: tl.constexpr,
    l2: tl.constexpr,
    block: tl.constexpr,
):
    at, is_there = _places(size, block)
    w, g = _both(weight, gradient, at, is_there, table, row, width, l2)
    m = tl.load(mean + at, mask=is_there)
    u = tl.load(largest + at, mask=is_there)
    m = m * _coefficient(table, row, width, 0) + g * _coefficient(table, row, width, 2)
    here = tl.abs(g) + _coefficient(table, row, width, 4)
    u = u * _coefficient(table, row, width, 1)
    u = tl.maximum(u, here, propagate_nan=tl.PropagateNan.ALL)
    tl.store(mean + at, m, mask=is_there)
    tl.store(largest + at, u, mask=is_there)
    w = w - m * _coefficient(table, row, width, 3) / u
    tl.store(weight + at, w, mask=is_there)


@triton.jit
def _rmsprop(
    weight,
    gradient,
    square,
    momentum,
    table,
    row,
    size,
    width: tl.constexpr,
    l2: tl.constexpr,
    block: tl.constexpr,
):
    at, is_there = _places(size, block)
    w, g = _both(weight, gradient, at, is_there, table, row, width, l2)
    s = tl.load(square + at, mask=is_there)
    v = tl.load(momentum + at, mask=is_there)
    s = s * _coefficient(table, row, width, 2) + g * _coefficient(table, row, width, 3) * g
    v = v * _coefficient(table, row, width, 1)
    v = v + g / (tl.sqrt(s) + _coefficient(table, row, width, 4))
    tl.store(square + at, s, mask=is_there)
    tl.store(momentum + at, v, mask=is_there)
    tl.store(weight + at, w - v * _coefficient(table, row, width, 0), mask=is_there)


@triton.jit
def _adagrad(
    weight,
    gradient,
    square,
    table,
    row,
    size,
    width: tl.constexpr,
    l2: tl.constexpr,
    block: tl.constexpr,
):
    at, is_there = _places(size, block)
    w, g = _both(weight, gradient, at, is_there, table, row, width, l2)
    s = tl.load(square + at, mask=is_there)
    s = s + g * g
    tl.store(square + at, s, mask=is_there)
    spread = tl.sqrt(s) + _coefficient(table, row, width, 1)
    w = w - g * _coefficient(table, row, width, 0) / spread
    tl.store(weight + at, w, mask=is_there)


_MOMENTS = ("beta1", "beta2", "new1", "new2", "step_size", "root_correction", "eps")
_STEP = ("learning_rate", "momentum")
_KERNELS: dict[tuple[type[Optimizer], tuple[str, ...]], tuple[Any, dict[str, bool]]] = {
    (Sgd, _STEP): (_sgd, {"looks_ahead": False}),
    (Sgd, (*_STEP, "lookahead", "nesterov")): (_sgd, {"looks_ahead": True}),
    (Adam, _MOMENTS): (_adam, {"decays": False}),
    (AdamW, (*_MOMENTS, "keep")): (_adam, {"decays": True}),
    (Adamax, ("beta1", "beta2", "new1", "step_size", "eps")): (_adamax, {}),
    (RmsProp, (*_STEP, "alpha", "new", "eps")): (_rmsprop, {}),
    (Adagrad, ("learning_rate", "eps")): (_adagrad, {}),
}
"""By rule and names of its coefficients: the kernel, and its variant."""


def launch_of(rule: type[Optimizer], names: Sequence[str]) -> Launch | None:
    """Return what launches the kernel of a rule.

    Args:
        rule: Exactly this class: one derived from it may do something else.
        names: Of the coefficients, in the order of the table; the l2 term's last, if it has one.

    Returns:
        The launcher, or None where there is no kernel for it.
    """
    found = _KERNELS.get((rule, tuple(name for name in names if name != L2)))
    if found is None:
        return None
    kernel, variant = found

    def launch(
        weight: Tensor,
        gradient: Tensor,
        buffers: Sequence[Tensor],
        table: Tensor,
        row: Tensor,
        *,
        adds_l2: bool,
    ) -> None:
        n_lanes = weight.shape[0]
        size = weight.numel() // n_lanes
        grid = (triton.cdiv(size, _BLOCK), n_lanes)
        kernel[grid](
            weight,
            gradient.contiguous(),
            *buffers,
            table,
            row,
            size,
            **variant,
            width=len(names),
            l2=adds_l2,
            block=_BLOCK,
        )

    return launch
