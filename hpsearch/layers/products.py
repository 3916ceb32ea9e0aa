"""Matrix products over lanes whose result never depends on how many lanes there are.

torch multiplies float32 by MKL, which keeps its AVX-512 kernels to Intel's processors: on an AMD
processor it uses half of the arithmetic there is. There, larger products go to oneDNN, which
torch brings along. Which library a product goes to follows from the shape of one lane's product
and from the processor alone, never from a measurement: a trial that is resumed elsewhere on the
machine, or stands beside others, gets the same sums.
"""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from hpsearch.layers.ways import Plan, Way, is_flat, multiply, order_of, plan_of

_WORTH_WIDE = 600_000  # multiply-adds of a lane: oneDNN takes 15 us more than MKL to begin
_LEAST_SIDE = 16  # rows, columns and summands of it: ten classes leave its kernels half idle
_PRECISE = 1e-6  # relative error of a product in float32; in bfloat16 it is a thousand times that
_may_round = ContextVar("may_round", default=False)


class Products:
    """The three products of a linear layer, forward and backward, for a stack of lanes.

    Args:
        is_exact: Whether a lane's result must be the one it has alone, to the last bit.
        is_layout_free: Whether activations may stand in memory example by example, as larger
            products are faster; their shapes are the same. Otherwise they are contiguous.
    """

    def __init__(self, *, is_exact: bool, is_layout_free: bool = False) -> None:
        self.is_exact = is_exact
        self._is_layout_free = is_layout_free
        self._plans: dict[Hashable, Plan] = {}

    def forward(self, weight: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Return ``weight[k] @ x[k]`` as ``[lanes, hidden, batch]``.

        Args:
            weight: ``[lanes, hidden, features]``, contiguous.
            x: ``[batch, features]``, shared by all lanes (one large product), or
                ``[lanes, features, batch]``.
            out: Where the result goes, contiguous; None for memory of its own.
        """
        right = x.t() if x.dim() == 2 else x
        return self._multiply(weight, right, self._room(weight, right) if out is None else out)

    def weight_gradient(self, d: Tensor, x: Tensor, out: Tensor) -> Tensor:
        """Return ``d[k] @ x[k].T`` as ``[lanes, hidden, features]``.

        Args:
            d: Gradient of the layer's output, ``[lanes, hidden, batch]``.
            x: The layer's input, as in :meth:`forward`.
            out: Contiguous memory for the gradient; it is returned.
        """
        if x.dim() == 2:
            return self._multiply(d if is_flat(d) else d.contiguous(), x, out)
        return self._multiply(d, x.transpose(1, 2), out)

    def input_gradient(self, weight: Tensor, d: Tensor, like: Tensor | None = None) -> Tensor:
        """Return ``weight[k].T @ d[k]`` as ``[lanes, features, batch]``.

        Args:
            weight: As in :meth:`forward`.
            d: Gradient of the layer's output.
            like: The layer's input, whose layout the result has; None: contiguous.
        """
        left = weight.transpose(1, 2)
        if like is None:
            out = left.new_empty(*left.shape[:2], d.shape[2])
        else:
            out = torch.empty_like(like)
        return self._multiply(left, d, out)

    def _room(self, left: Tensor, right: Tensor) -> Tensor:
        """Return memory for a product, in the layout that is the fastest to fill."""
        n, rows, _ = left.shape
        columns = right.shape[-1]
        if not (self._is_layout_free and _goes_wide(left, right)):
            return left.new_empty(n, rows, columns)
        if right.dim() == 2:
            return left.new_empty(columns, n, rows).permute(1, 2, 0)
        return left.new_empty(n, columns, rows).transpose(1, 2)

    def _multiply(self, left: Tensor, right: Tensor, out: Tensor) -> Tensor:
        # all that the choice depends on: making it anew takes longer than a small product
        key = (
            left.shape,
            left.stride(),
            right.shape,
            right.stride(),
            out.stride(),
            left.dtype,
            _may_round.get(),
        )
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._choose(left, right, out)
        multiply(plan, left, right, out)
        return out

    def _choose(self, left: Tensor, right: Tensor, out: Tensor) -> Plan:
        is_wide = _goes_wide(left, right)
        if self.is_exact:
            return plan_of(
                (*left.shape, right.shape[-1]),
                (order_of(left), order_of(right), order_of(out)),
                is_wide=is_wide,
                dtype=left.dtype,
            )
        if _is_better_rounded(left, right):
            return Plan(Way.ROUNDED, is_wide=False)
        return Plan(Way.BATCHED, is_wide=is_wide)


def _is_worth_wide(left: Tensor, right: Tensor) -> bool:
    """Whether one lane's product is large enough for oneDNN, on a CPU in float32."""
    sizes = (left.shape[1], left.shape[2], right.shape[-1])
    return (
        sizes[0] * sizes[1] * sizes[2] >= _WORTH_WIDE
        and min(sizes) >= _LEAST_SIDE
        and left.dtype == torch.float32
        and left.device.type == "cpu"
    )


def _goes_wide(left: Tensor, right: Tensor) -> bool:
    """Whether oneDNN is to work a product out."""
    return _is_worth_wide(left, right) and has_wide_products()


def _is_better_rounded(left: Tensor, right: Tensor) -> bool:
    """Whether a product may be, and is faster, in bfloat16 on this CPU."""
    return _may_round.get() and _is_worth_wide(left, right) and _has_bfloat16()


def may_round() -> bool:
    """Return whether products that need not be exact may be worked out in bfloat16 just now."""
    return _may_round.get()


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
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call] # torch's
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and not _is_intel()
        and _is_precise()
    )


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return True  # not known: MKL's own choice is right on Intel's, and slow at worst


def _is_precise() -> bool:
    """Whether oneDNN, allowed to round to bfloat16, does not."""
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randn(1, 128, 96, generator=generator),
        torch.randn(96, 64, generator=generator),
    )
    product = torch.empty(1, 128, 64)
    multiply(Plan(Way.BATCHED, is_wide=True), left, right, product)
    true = left[0].double() @ right.double()
    return bool((product[0] - true).norm() <= _PRECISE * true.norm())
