"""The ways to multiply matrices over lanes, and which of them leave a lane what it has alone.

A batched product is free to add up in another order than the product of one lane alone, and the
product of a very small matrix may even depend on where in memory it stands: the last bits of a
trial's result would then depend on its neighbours. On the CPU each shape is therefore tried once
on random numbers, and the fastest way that is bit for bit what a lane gets alone is kept. The
order of a sum depends on shape, layout and address, not on values, so one trial of a shape
speaks for all its uses.
"""

from collections.abc import Callable, Iterator
from enum import Enum
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

# elements off a 64-byte boundary, of left, right and result: each takes every remainder of four
_SHIFTS = ((1, 2, 3), (2, 3, 1), (3, 1, 2), (4, 8, 12))
_LARGE = 2**24  # numbers: trying out would take memory, and large products gain nothing together
_FEW = 256  # results of other sums can be equal by chance: few of them are tried more often

Order = tuple[int, ...]
"""The axes of a tensor as they follow each other in memory."""
_Orders = tuple[Order, Order, Order]
_FEATURES_FIRST: Order = (0, 1, 2)
_EXAMPLES_FIRST: Order = (2, 0, 1)  # all lanes of an example beside each other


class Way(Enum):
    """How a product over lanes is worked out."""

    BATCHED = "all lanes at once"
    ONE_BY_ONE = "lane after lane"
    ALIGNED = "lane after lane, on copies that stand at aligned addresses"
    ROUNDED = "all lanes at once, in bfloat16"


class Plan(NamedTuple):
    """What is done about products of one shape: in which way, and whether by oneDNN."""

    way: Way
    is_wide: bool


def multiply(plan: Plan, left: Tensor, right: Tensor, out: Tensor) -> None:
    """Work out a product over lanes.

    torch goes to oneDNN for float32 where it may round to bfloat16. oneDNN makes use of that only
    where it has tiles to multiply bfloat16 by, as some of Intel's processors do; its other kernels
    compute in float32. The setting is the process's: only one of its threads may multiply.

    Args:
        plan: How.
        left: ``[lanes, rows, summands]``.
        right: ``[summands, columns]``, shared by all lanes, or ``[lanes, summands, columns]``.
        out: ``[lanes, rows, columns]``, overwritten.
    """
    if not plan.is_wide:
        _WAYS[plan.way](left, right, out)
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        _WAYS[plan.way](left, right, out)
    finally:
        torch.set_float32_matmul_precision(before)


def _batched(left: Tensor, right: Tensor, out: Tensor) -> None:
    if right.dim() == 3 and right.shape[0] == 1:
        right = right[0]  # alone, a lane gets the same whether its batch could be shared or not
    if right.dim() == 3:
        if out.stride(-1) == 1:
            torch.bmm(left, right, out=out)
        else:  # turned: torch would work in memory of its own
            torch.bmm(right.mT, left.mT, out=out.mT)
        return
    left, out = _flat(left), _flat(out)
    if out.stride(-1) == 1:
        torch.mm(left, right, out=out)
    else:
        torch.mm(right.t(), left.t(), out=out.t())


def _one_by_one(left: Tensor, right: Tensor, out: Tensor) -> None:
    for k in range(left.shape[0]):
        lane = slice(k, k + 1)
        _batched(left[lane], right if right.dim() == 2 else right[lane], out[lane])


def _aligned(left: Tensor, right: Tensor, out: Tensor) -> None:
    for k in range(left.shape[0]):
        lane = slice(k, k + 1)
        result = _copied(out[lane])
        _batched(_copied(left[lane]), _copied(right if right.dim() == 2 else right[lane]), result)
        out[lane].copy_(result)


def _rounded(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Multiply in bfloat16, summed up in float32, as autocast does; the state stays float32."""
    result = torch.empty_like(out, dtype=torch.bfloat16)
    _batched(left.to(torch.bfloat16), right.to(torch.bfloat16), result)
    out.copy_(result)


_WAYS: dict[Way, Callable[[Tensor, Tensor, Tensor], None]] = {
    Way.BATCHED: _batched,
    Way.ONE_BY_ONE: _one_by_one,
    Way.ALIGNED: _aligned,
    Way.ROUNDED: _rounded,
}


def is_flat(stack: Tensor) -> bool:
    """Whether the rows of all lanes are those of one matrix in memory."""
    return stack.shape[0] == 1 or order_of(stack) in (_FEATURES_FIRST, _EXAMPLES_FIRST)


def _flat(stack: Tensor) -> Tensor:
    """Return the rows of all lanes as one matrix, a view."""
    n, rows, columns = stack.shape
    if n == 1:
        return stack[0]
    if stack.stride(-1) == 1:
        return stack.view(n * rows, columns)
    return stack.permute(2, 0, 1).view(columns, n * rows).t()


def _copied(stack: Tensor) -> Tensor:
    """Return a dense copy of one lane in the same layout; torch aligns what it allocates."""
    if stack.stride(-1) != 1 and stack.stride(-2) == 1:
        return stack.mT.clone(memory_format=torch.contiguous_format).mT
    return stack.clone(memory_format=torch.contiguous_format)


def order_of(tensor: Tensor) -> Order:
    """Return the axes in the order of memory, the one with the largest steps first."""
    steps = tensor.stride()
    order = tuple(sorted(range(tensor.dim()), key=lambda axis: -steps[axis]))
    return _alone(order) if tensor.dim() == 3 and tensor.shape[0] == 1 else order


def _alone(order: Order) -> Order:
    """Return the layout of one lane where many stand in this one."""
    return (0, *(axis for axis in order if axis))


def _all_alone(orders: _Orders) -> _Orders:
    left, right, out = orders
    if len(right) == 3:
        right = tuple(axis - 1 for axis in right if axis)
    return _alone(left), right, _alone(out)


@cache
def plan_of(
    sizes: tuple[int, int, int, int], orders: _Orders, *, is_wide: bool, dtype: torch.dtype
) -> Plan:
    """Try out how lanes of this shape can be multiplied.

    Args:
        sizes: Lanes, rows, summands, columns.
        orders: Layouts of the left side, the right side, the result.
        is_wide: Whether oneDNN is to be tried first.
        dtype: Of all three.
    """
    n, rows, inner, columns = sizes
    if n == 1:
        orders = _all_alone(orders)
        for by_onednn in (True, False) if is_wide else (False,):
            if _stands_anywhere(sizes, orders, is_wide=by_onednn, dtype=dtype):
                return Plan(Way.BATCHED, is_wide=by_onednn)
        return Plan(Way.ALIGNED, is_wide=False)
    alone = plan_of((1, *sizes[1:]), _all_alone(orders), is_wide=is_wide, dtype=dtype)
    if alone.way is Way.ALIGNED:
        return alone
    is_small = n * (rows * inner + inner * columns + rows * columns) <= _LARGE
    for way in (Way.BATCHED, Way.ONE_BY_ONE) if is_small else ():
        if _agrees(way, sizes, orders, is_wide=alone.is_wide, dtype=dtype):
            return Plan(way, alone.is_wide)
    is_apart = all(len(order) == 2 or order[0] == 0 for order in orders)
    # lanes apart from each other stand as they do alone
    return Plan(Way.ONE_BY_ONE if is_apart else Way.ALIGNED, alone.is_wide)


def _stands_anywhere(
    sizes: tuple[int, int, int, int], orders: _Orders, *, is_wide: bool, dtype: torch.dtype
) -> bool:
    """Return whether a lane alone gets the same wherever in memory it stands."""
    for factors in _examples(sizes, orders, dtype):
        usual = _product(Way.BATCHED, factors, orders, is_wide=is_wide)
        for shifts in _SHIFTS:
            moved = _product(Way.BATCHED, factors, orders, is_wide=is_wide, shifts=shifts)
            if not torch.equal(moved, usual):
                return False
    return True


def _agrees(
    way: Way,
    sizes: tuple[int, int, int, int],
    orders: _Orders,
    *,
    is_wide: bool,
    dtype: torch.dtype,
) -> bool:
    """Return whether lanes get in company what they get alone."""
    for left, right in _examples(sizes, orders, dtype):
        lanes = [
            (left[k : k + 1], right if right.dim() == 2 else right[k]) for k in range(sizes[0])
        ]
        alone = torch.cat(
            [_product(Way.BATCHED, lane, _all_alone(orders), is_wide=is_wide) for lane in lanes]
        )
        for shifts in _SHIFTS:
            company = _product(way, (left, right), orders, is_wide=is_wide, shifts=shifts)
            if not torch.equal(company, alone):
                return False
    return True


def _examples(
    sizes: tuple[int, int, int, int], orders: _Orders, dtype: torch.dtype
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield factors to try out, of random numbers."""
    n, rows, inner, columns = sizes
    shared = len(orders[1]) == 2
    for seed in range(4 if rows * columns < _FEW else 1):
        right = (inner, columns) if shared else (n, inner, columns)
        yield _random((n, rows, inner), dtype, 2 * seed), _random(right, dtype, 2 * seed + 1)


def _product(
    way: Way,
    factors: tuple[Tensor, Tensor],
    orders: _Orders,
    *,
    is_wide: bool,
    shifts: tuple[int, int, int] = (0, 0, 0),
) -> Tensor:
    """Return a product worked out in memory of these layouts, so far off aligned addresses."""
    left, right = factors
    out = left.new_zeros(*left.shape[:2], right.shape[-1])
    a, b, c = (
        _laid(tensor, order, shift)
        for tensor, order, shift in zip((left, right, out), orders, shifts, strict=True)
    )
    multiply(Plan(way, is_wide=is_wide), a, b, c)
    return c


def _random(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def _laid(tensor: Tensor, order: Order, n_elements: int) -> Tensor:
    """Return a dense copy of this layout that starts off a 64-byte boundary."""
    dense = tensor.permute(order)
    memory = torch.empty(dense.numel() + n_elements, dtype=tensor.dtype)
    copy = memory[n_elements:].view(dense.shape).copy_(dense)
    return copy.permute([order.index(axis) for axis in range(tensor.dim())])
