"""Matrix products over lanes whose result never depends on how many lanes there are.

A batched product is free to add up in another order than the product of one lane alone, and the
product of a very small matrix may even depend on where in memory it stands: the last bits of a
trial's result would then depend on its neighbours. On the CPU each shape is therefore tried once
on random numbers, and the fastest way that is bit for bit what a lane gets alone is kept. The
order of a sum depends on shape, layout and address, not on values, so one trial of a shape
speaks for all its uses.

torch multiplies float32 by MKL, which keeps its AVX-512 kernels to Intel's processors: on an AMD
processor it uses half of the arithmetic there is. There, larger products go to oneDNN, which
torch brings along. Which library a product goes to follows from the shape of one lane's product
and from the processor alone, never from a measurement: a trial that is resumed elsewhere on the
machine, or stands beside others, gets the same sums.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

# elements off a 64-byte boundary, of left, right and result: each takes every remainder of four
_SHIFTS = ((1, 2, 3), (2, 3, 1), (3, 1, 2), (4, 8, 12))
_LARGE = 2**24  # numbers: trying out would take memory, and large products gain nothing together
_WORTH_ROUNDING = 1_000_000  # multiply-adds; below, torch's float32 kernels are as fast
_WORTH_WIDE = 1_000_000  # multiply-adds of a lane: oneDNN takes 10 us more than MKL to begin
_MOST_FRESH = 8_000_000  # numbers; for more the system is asked anew every time, see process.py
_may_round = ContextVar("may_round", default=False)
_FEW = 256  # results of other sums can be equal by chance: few of them are tried more often


class Products:
    """The three products of a linear layer, forward and backward, for a stack of lanes.

    Args:
        is_exact: Whether a lane's result must be the one it has alone, to the last bit.
    """

    def __init__(self, *, is_exact: bool) -> None:
        self.is_exact = is_exact
        self._ways: dict[Hashable, _Way] = {}

    def forward(self, weight: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Return ``weight[k] @ x[k]`` as ``[lanes, hidden, batch]``.

        Args:
            weight: ``[lanes, hidden, features]``.
            x: ``[batch, features]``, shared by all lanes (one large product), or
                ``[lanes, features, batch]``.
            out: Where the result goes, contiguous; None for memory of its own.
        """
        right = x.t() if x.dim() == 2 else x
        return self._multiply(weight, right, out, is_elsewhere_good=out is None)

    def weight_gradient(self, d: Tensor, x: Tensor, out: Tensor) -> Tensor:
        """Return ``d[k] @ x[k].T`` as ``[lanes, hidden, features]``.

        Args:
            d: Gradient of the layer's output, ``[lanes, hidden, batch]``.
            x: The layer's input, as in :meth:`forward`.
            out: Contiguous memory for the gradient; it is returned, unless the product was given
                memory of its own, whose copy would cost more than anything else is gained by.
        """
        right = x if x.dim() == 2 else x.transpose(1, 2)
        return self._multiply(d.contiguous(), right, out, is_elsewhere_good=True)

    def input_gradient(self, weight: Tensor, d: Tensor) -> Tensor:
        """Return ``weight[k].T @ d[k]`` as ``[lanes, features, batch]``."""
        return self._multiply(weight.transpose(1, 2), d, None, is_elsewhere_good=True)

    def _multiply(
        self, left: Tensor, right: Tensor, out: Tensor | None, *, is_elsewhere_good: bool
    ) -> Tensor:
        # all that the choice depends on: making it anew takes longer than a small product
        key = (
            left.shape,
            left.stride(),
            right.shape,
            right.stride(),
            left.dtype,
            _may_round.get(),
        )
        way = self._ways.get(key)
        if way is None:
            way = self._ways[key] = self._choose(left, right)
        n, rows, inner = left.shape
        columns = right.shape[-1]
        if is_elsewhere_good and way is _Way.WIDE:
            if n == 1 and right.dim() == 3 and left.stride(2) == 1:
                return _linear(left[0], right[0]).unsqueeze(0)
            if right.dim() == 2 and n * rows * columns <= _MOST_FRESH:
                return _linear(left.view(n * rows, inner), right).view(n, rows, columns)
        if out is None:
            out = left.new_empty(n, rows, columns)
        _WAYS[way](left, right, out)
        return out

    def _choose(self, left: Tensor, right: Tensor) -> "_Way":
        n, rows, inner = left.shape
        columns = right.shape[-1]
        is_wide = (
            rows * inner * columns >= _WORTH_WIDE
            and left.dtype == torch.float32
            and left.device.type == "cpu"
            and has_wide_products()
        )
        if self.is_exact:
            return _way(
                (n, rows, inner, columns),
                (_is_turned(left), _is_turned(right)),
                is_shared=right.dim() == 2,
                is_wide=is_wide,
                dtype=left.dtype,
            )
        if _is_better_rounded(left, right):
            return _Way.ROUNDED
        return _Way.WIDE if is_wide else _Way.BATCHED


_Multiply = Callable[[Tensor, Tensor, Tensor], None]


class _Way(Enum):
    """How a product over lanes is worked out."""

    BATCHED = "all lanes at once"
    ONE_BY_ONE = "lane after lane"
    ALIGNED = "lane after lane, on copies that stand at aligned addresses"
    WIDE = "by oneDNN, all lanes at once where they share the right side"
    WIDE_ONE_BY_ONE = "by oneDNN, lane after lane"
    ROUNDED = "all lanes at once, in bfloat16"


def _batched(left: Tensor, right: Tensor, out: Tensor) -> None:
    if right.dim() == 2:
        n, rows, inner = left.shape
        torch.mm(left.view(n * rows, inner), right, out=out.view(n * rows, right.shape[1]))
    else:
        torch.bmm(left, right, out=out)


def _one_by_one(left: Tensor, right: Tensor, out: Tensor) -> None:
    for lane in range(left.shape[0]):
        torch.mm(left[lane], right if right.dim() == 2 else right[lane], out=out[lane])


def _aligned(left: Tensor, right: Tensor, out: Tensor) -> None:
    for lane in range(left.shape[0]):
        one = right if right.dim() == 2 else right[lane]
        out[lane].copy_(torch.mm(_copied(left[lane]), _copied(one)))


def _wide(left: Tensor, right: Tensor) -> Tensor:
    """Return the product of two matrices, worked out by oneDNN; ``right`` may be turned freely."""
    if _is_turned(left):  # oneDNN would copy it; the right side, a batch, is smaller
        return _linear(right.t(), left.t()).t()
    return _linear(left, right)


def _linear(left: Tensor, right: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
    return product


def _wide_batched(left: Tensor, right: Tensor, out: Tensor) -> None:
    n, rows, inner = left.shape
    if right.dim() == 3 or out.numel() > _MOST_FRESH:
        _wide_one_by_one(left, right, out)
        return
    out.view(n * rows, right.shape[1]).copy_(_wide(left.view(n * rows, inner), right))


def _wide_one_by_one(left: Tensor, right: Tensor, out: Tensor) -> None:
    for lane in range(left.shape[0]):
        out[lane].copy_(_wide(left[lane], right if right.dim() == 2 else right[lane]))


def _rounded(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Multiply in bfloat16, summed up in float32, as autocast does; the state stays float32."""
    result = torch.empty_like(out, dtype=torch.bfloat16)
    _batched(left.to(torch.bfloat16), right.to(torch.bfloat16), result)
    out.copy_(result)


_WAYS: dict[_Way, _Multiply] = {
    _Way.BATCHED: _batched,
    _Way.ONE_BY_ONE: _one_by_one,
    _Way.ALIGNED: _aligned,
    _Way.WIDE: _wide_batched,
    _Way.WIDE_ONE_BY_ONE: _wide_one_by_one,
    _Way.ROUNDED: _rounded,
}


_ALONE = {
    _Way.BATCHED: _Way.ONE_BY_ONE,
    _Way.ONE_BY_ONE: _Way.ONE_BY_ONE,
    _Way.ALIGNED: _Way.ALIGNED,
    _Way.WIDE: _Way.WIDE_ONE_BY_ONE,
    _Way.WIDE_ONE_BY_ONE: _Way.WIDE_ONE_BY_ONE,
}


def _is_better_rounded(left: Tensor, right: Tensor) -> bool:
    """Whether a product may be, and is faster, in bfloat16 on this CPU."""
    return (
        _may_round.get()
        and left.dtype == torch.float32
        and left.numel() * right.shape[-1] >= _WORTH_ROUNDING
        and left.device.type == "cpu"
        and _has_bfloat16()
    )


@contextmanager
def rounded_products() -> Iterator[None]:
    """Let products that need not be exact be worked out in bfloat16 where a CPU is fast at it.

    torch has a setting for this, ``set_float32_matmul_precision("medium")``. Converting by hand
    is twice as fast as what it does to large products, and it makes small ones slower.
    """
    token = _may_round.set(True)
    try:
        yield
    finally:
        _may_round.reset(token)


@cache
def _has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively; torch's test of it is private."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test, lambda: False)() for test in tests)


@cache
def has_wide_products() -> bool:
    """Whether oneDNN can be asked for products, and has wider arithmetic than MKL would use."""
    return (
        hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and not _is_intel()
    )


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return True  # not known: MKL's own choice is right on Intel's, and slow at worst


def _copied(matrix: Tensor) -> Tensor:
    """Return a dense copy of the same layout; torch aligns what it allocates."""
    return matrix.t().clone().t() if _is_turned(matrix) else matrix.clone()


def _is_turned(matrix: Tensor) -> bool:
    return matrix.stride(-1) != 1 and matrix.stride(-2) == 1


@cache
def _way(
    sizes: tuple[int, int, int, int],
    turned: tuple[bool, bool],
    *,
    is_shared: bool,
    is_wide: bool,
    dtype: torch.dtype,
) -> _Way:
    """Try out how lanes of this shape can be multiplied."""
    n, rows, inner, columns = sizes
    if n > 1 and n * (rows * inner + inner * columns + rows * columns) > _LARGE:
        alone = _way((1, *sizes[1:]), turned, is_shared=is_shared, is_wide=is_wide, dtype=dtype)
        return _ALONE[alone]
    ways = [(_Way.WIDE, _Way.WIDE_ONE_BY_ONE)] if is_wide else []
    for batched, one_by_one in [*ways, (_Way.BATCHED, _Way.ONE_BY_ONE)]:
        is_right, is_batched_right = _tried(
            sizes, turned, (_WAYS[batched], _WAYS[one_by_one]), is_shared=is_shared, dtype=dtype
        )
        if is_right:
            return batched if is_batched_right else one_by_one
    return _Way.ALIGNED


def _tried(
    sizes: tuple[int, int, int, int],
    turned: tuple[bool, bool],
    ways: tuple[_Multiply, _Multiply],
    *,
    is_shared: bool,
    dtype: torch.dtype,
) -> tuple[bool, bool]:
    """Return whether a lane alone gets the same anywhere in memory, and in company, too."""
    n, rows, inner, columns = sizes
    batched, alone_by = ways
    is_batched_right = True
    for seed in range(4 if rows * columns < _FEW else 1):
        left = _random((n, rows, inner), dtype, 2 * seed, turned[0])
        right = _random((1 if is_shared else n, inner, columns), dtype, 2 * seed + 1, turned[1])
        alone = torch.empty((n, rows, columns), dtype=dtype)
        alone_by(left, right[0] if is_shared else right, alone)
        for shift in _SHIFTS:
            a, b = _shifted(left, shift[0]), _shifted(right, shift[1])
            b = b[0] if is_shared else b
            out = _shifted(torch.zeros_like(alone), shift[2])
            alone_by(a[:1], b if is_shared else b[:1], out[:1])
            if not torch.equal(out[0], alone[0]):
                return False, False
            batched(a, b, out)
            is_batched_right = is_batched_right and torch.equal(out, alone)
    return True, is_batched_right


def _random(shape: tuple[int, ...], dtype: torch.dtype, seed: int, is_turned: bool) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(shape, dtype=dtype, generator=generator)
    return numbers.mT.contiguous().mT if is_turned else numbers


def _shifted(tensor: Tensor, n_elements: int) -> Tensor:
    """Return a copy of the same layout that starts off a 64-byte boundary."""
    dense = tensor.mT if _is_turned(tensor) else tensor
    memory = torch.empty(dense.numel() + n_elements, dtype=tensor.dtype)
    copy = memory[n_elements:].view(dense.shape).copy_(dense)
    return copy.mT if _is_turned(tensor) else copy
