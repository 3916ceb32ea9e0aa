"""Picking a batch as a Triton kernel: looked up, read as bytes and scaled in one launch.

What comes out is what ``hpsearch.training.program`` makes of the same tables in plain torch.
"""

import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024  # features that one program copies at most


# The grid is (examples of the batch, for each order; blocks of features).


@triton.jit
def _pick(
    x,
    y,
    orders,
    which,
    clock,
    x_out,
    y_out,
    n_features,
    n_targets,
    n_examples,
    n_all,
    shift: tl.constexpr,
    factor: tl.constexpr,
    scales: tl.constexpr,
    has_own: tl.constexpr,
    targets: tl.constexpr,
    block: tl.constexpr,
):
    row = tl.program_id(0)
    order = tl.zeros((), tl.int64)
    if has_own:
        order = tl.load(which + row // n_examples)
    place = tl.load(clock + 1) + row % n_examples
    example = tl.load(orders + order * n_all + place)
    feature = tl.program_id(1) * block + tl.arange(0, block)
    is_there = feature < n_features
    values = tl.load(x + example * n_features + feature, mask=is_there)
    if scales:
        values = (values.to(x_out.dtype.element_ty) - shift) * factor
    tl.store(x_out + row.to(tl.int64) * n_features + feature, values, mask=is_there)
    if tl.program_id(1) == 0:
        target = tl.arange(0, targets)
        goal = tl.load(y + example * n_targets + target, mask=target < n_targets)
        tl.store(y_out + row * n_targets + target, goal, mask=target < n_targets)


def pick(
    x: Tensor,
    y: Tensor,
    orders: Tensor,
    which: Tensor | None,
    clock: Tensor,
    *,
    x_out: Tensor,
    y_out: Tensor,
    shift: float,
    factor: float,
) -> None:
    """Copy the examples of a batch, in the orders of the lanes.

    Args:
        x: Inputs of all examples, ``[examples, features]``; bytes are scaled.
        y: Targets of all examples, ``[examples]`` or ``[examples, outputs]``.
        orders: ``[n, examples]``.
        which: Of the orders each lane has, ``[lanes]``; None for the first alone.
        clock: Its second number is the place of the batch's first example in the orders.
        x_out: ``[lanes · batch, features]``, or ``[batch, features]``; written.
        y_out: As many targets; written.
        shift: Taken from bytes,
        factor: and what they are multiplied by then.
    """
    n_rows, n_features = x_out.shape
    n_targets = y.shape[1] if y.dim() == 2 else 1
    block = min(_BLOCK, triton.next_power_of_2(n_features))
    _pick[(n_rows, triton.cdiv(n_features, block))](
        x,
        y,
        orders,
        clock if which is None else which,
        clock,
        x_out,
        y_out,
        n_features,
        n_targets,
        n_rows if which is None else n_rows // len(which),
        orders.shape[1],
        shift=shift,  # constants: as arguments they would be rounded to float32
        factor=factor,
        scales=x.dtype != x_out.dtype,
        has_own=which is not None,
        targets=triton.next_power_of_2(n_targets),
        block=block,
    )
