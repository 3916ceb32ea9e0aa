"""Matrix products over lanes whose result never depends on how many lanes there are.

A batched product is free to add up in another order than the product of one lane alone: the
last bits would then depend on a trial's neighbours. On the CPU each shape is therefore tried
once on random numbers; where the batched product is not bit for bit what the lanes get alone,
the lanes are multiplied one after another. The order of a sum depends on shapes and layout, not
on values, so one trial of a shape speaks for all its uses.
"""

from functools import cache

import torch
from torch import Tensor


class Products:
    """The three products of a linear layer, forward and backward, for a stack of lanes.

    Args:
        is_exact: Whether a lane's result must be the one it has alone, to the last bit.
    """

    def __init__(self, *, is_exact: bool) -> None:
        self.is_exact = is_exact

    def forward(self, weight: Tensor, x: Tensor) -> Tensor:
        """Return ``weight[k] @ x[k]`` as ``[lanes, hidden, batch]``.

        Args:
            weight: ``[lanes, hidden, features]``.
            x: ``[batch, features]``, shared by all lanes (one large product), or
                ``[lanes, features, batch]``.
        """
        n, hidden, features = weight.shape
        if x.dim() == 2:
            batch = x.shape[0]
            if n == 1 or not self.is_exact or _shared_agrees(n, hidden, features, batch, x.dtype):
                return torch.mm(weight.view(n * hidden, features), x.t()).view(n, hidden, batch)
            out = x.new_empty(n, hidden, batch)
            for lane in range(n):
                torch.mm(weight[lane], x.t(), out=out[lane])
            return out
        batch = x.shape[2]
        is_rowwise = x.stride(2) != 1
        if not self.is_exact or (
            n > 1 and _forward_agrees(n, hidden, features, batch, is_rowwise, x.dtype)
        ):
            return torch.bmm(weight, x)
        out = x.new_empty(n, hidden, batch)
        for lane in range(n):
            torch.mm(weight[lane], x[lane], out=out[lane])
        return out

    def weight_gradient(self, d: Tensor, x: Tensor, out: Tensor) -> None:
        """Write ``d[k] @ x[k].T`` into ``out``, ``[lanes, hidden, features]``.

        Args:
            d: Gradient of the layer's output, ``[lanes, hidden, batch]``.
            x: The layer's input, as in :meth:`forward`.
            out: Where the gradient goes; contiguous.
        """
        n, hidden, batch = d.shape
        if x.dim() == 2:
            features = x.shape[1]
            if (
                n == 1
                or not self.is_exact
                or _shared_gradient_agrees(n, hidden, features, batch, x.dtype)
            ):
                torch.mm(d.reshape(n * hidden, batch), x, out=out.view(n * hidden, features))
                return
            for lane in range(n):
                torch.mm(d[lane], x, out=out[lane])
            return
        is_rowwise = x.stride(2) != 1
        if not self.is_exact or (
            n > 1 and _gradient_agrees(n, hidden, x.shape[1], batch, is_rowwise, x.dtype)
        ):
            torch.bmm(d, x.transpose(1, 2), out=out)
            return
        for lane in range(n):
            torch.mm(d[lane], x[lane].t(), out=out[lane])

    def input_gradient(self, weight: Tensor, d: Tensor) -> Tensor:
        """Return ``weight[k].T @ d[k]`` as ``[lanes, features, batch]``."""
        n, hidden, batch = d.shape
        features = weight.shape[2]
        if not self.is_exact or (
            n > 1 and _input_gradient_agrees(n, hidden, features, batch, d.dtype)
        ):
            return torch.bmm(weight.transpose(1, 2), d)
        out = d.new_empty(n, features, batch)
        for lane in range(n):
            torch.mm(weight[lane].t(), d[lane], out=out[lane])
        return out


def _random(*shape: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, dtype=dtype, generator=generator)


def _equal(batched: Tensor, alone: list[Tensor]) -> bool:
    return all(torch.equal(batched[lane], one) for lane, one in enumerate(alone))


def _inputs(n: int, features: int, batch: int, is_rowwise: bool, dtype: torch.dtype) -> Tensor:
    if is_rowwise:
        return _random(n, batch, features, dtype=dtype).transpose(1, 2)
    return _random(n, features, batch, dtype=dtype)


@cache
def _shared_agrees(n: int, hidden: int, features: int, batch: int, dtype: torch.dtype) -> bool:
    weight, x = _random(n, hidden, features, dtype=dtype), _random(batch, features, dtype=dtype)
    batched = torch.mm(weight.view(n * hidden, features), x.t()).view(n, hidden, batch)
    return _equal(batched, [torch.mm(one, x.t()) for one in weight])


@cache
def _forward_agrees(
    n: int, hidden: int, features: int, batch: int, is_rowwise: bool, dtype: torch.dtype
) -> bool:
    weight = _random(n, hidden, features, dtype=dtype)
    x = _inputs(n, features, batch, is_rowwise, dtype)
    return _equal(
        torch.bmm(weight, x), [torch.mm(w, one) for w, one in zip(weight, x, strict=True)]
    )


@cache
def _shared_gradient_agrees(
    n: int, hidden: int, features: int, batch: int, dtype: torch.dtype
) -> bool:
    d, x = _random(n, hidden, batch, dtype=dtype), _random(batch, features, dtype=dtype)
    batched = torch.mm(d.view(n * hidden, batch), x).view(n, hidden, features)
    return _equal(batched, [torch.mm(one, x) for one in d])


@cache
def _gradient_agrees(
    n: int, hidden: int, features: int, batch: int, is_rowwise: bool, dtype: torch.dtype
) -> bool:
    d = _random(n, hidden, batch, dtype=dtype)
    x = _inputs(n, features, batch, is_rowwise, dtype)
    return _equal(
        torch.bmm(d, x.transpose(1, 2)),
        [torch.mm(one, its.t()) for one, its in zip(d, x, strict=True)],
    )


@cache
def _input_gradient_agrees(
    n: int, hidden: int, features: int, batch: int, dtype: torch.dtype
) -> bool:
    weight, d = _random(n, hidden, features, dtype=dtype), _random(n, hidden, batch, dtype=dtype)
    return _equal(
        torch.bmm(weight.transpose(1, 2), d),
        [torch.mm(w.t(), one) for w, one in zip(weight, d, strict=True)],
    )
