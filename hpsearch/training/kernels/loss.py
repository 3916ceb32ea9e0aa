"""Softmax cross-entropy as a Triton kernel: its gradient and its sums in one launch for all lanes.

The equations are those of ``hpsearch.training.losses.CrossEntropy``, which it is tested against.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 2048  # numbers that one program works on at a time: as many classes, at least


# The grid is (lanes,): a lane's sums are added up by one program, always in the same order.


@triton.jit
def _cross_entropy(
    z,
    y,
    smoothing,
    sums,
    n_classes,
    batch,
    lane_stride,
    smooths: tl.constexpr,
    classes: tl.constexpr,
    block: tl.constexpr,
):
    lane = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, classes)[:, None]
    kind = z.dtype.element_ty
    share = tl.zeros((), kind)
    if smooths:
        share = tl.load(smoothing + lane)
    loss = tl.zeros((block,), tl.float64)
    hits = tl.zeros((block,), tl.float64)
    for start in range(0, batch, block):
        example = start + tl.arange(0, block)
        is_there = (column < n_classes) & (example < batch)[None, :]
        at = z + lane * n_classes * batch + column * batch + example[None, :]
        values = tl.load(at, mask=is_there, other=0.0)
        values = tl.where(column < n_classes, values, float("-inf"))
        target = tl.load(y + lane * lane_stride + example, mask=example < batch, other=0)
        is_target = column == target[None, :]
        high = tl.max(values, 0)
        values = values - high[None, :]
        powers = tl.exp(values)
        total = tl.sum(powers, 0)
        of_target = tl.sum(tl.where(is_target, values, 0.0), 0)
        own = (tl.log(total) - of_target).to(tl.float64)
        loss += tl.where(example < batch, own, 0.0)
        best = tl.min(tl.where(values == 0.0, column, n_classes), 0)  # the first, of equal ones
        hits += tl.where((example < batch) & (best == target), 1.0, 0.0)
        d = powers / total[None, :] - tl.where(is_target, 1.0 - share, 0.0) - share / n_classes
        tl.store(at, (d / batch).to(kind), mask=is_there)
    tl.store(sums + lane * 2, tl.sum(loss, 0))
    tl.store(sums + lane * 2 + 1, tl.sum(hits, 0))


def cross_entropy(z: Tensor, y: Tensor, smoothing: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the gradient of each lane's mean loss and the batch's sums, as ``gradient`` does.

    Args:
        z: Outputs ``[lanes, classes, batch]``; the gradient may take their place.
        y: Targets ``[batch]`` or ``[1, batch]`` that all lanes share, or ``[lanes, batch]``.
        smoothing: Label smoothing per lane, ``[lanes, 1, 1]``, or None.
    """
    n_lanes, n_classes, batch = z.shape
    z, y = z.contiguous(), y.contiguous()
    sums = torch.empty((n_lanes, 2), dtype=torch.float64, device=z.device)
    classes = triton.next_power_of_2(n_classes)
    _cross_entropy[(n_lanes,)](
        z,
        y,
        z if smoothing is None else smoothing,
        sums,
        n_classes,
        batch,
        batch if y.numel() > batch else 0,
        smooths=smoothing is not None,
        classes=classes,
        block=max(1, min(_TILE // classes, triton.next_power_of_2(batch))),
    )
    return z, sums
