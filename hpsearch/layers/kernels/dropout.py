"""The factors of dropout as a Triton kernel: one pass instead of nine.

The coins are those of :mod:`hpsearch.layers.dropout`, bit for bit.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024  # factors of one lane that one program of the grid works out


# The grid is (blocks of a lane's factors, lanes).


@triton.jit
def _factors(
    places, keys, key_stride, threshold, scale, out, size, last: tl.constexpr, block: tl.constexpr
):
    lane = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    first = tl.load(keys + lane * key_stride)
    second = tl.load(keys + lane * key_stride + 1)
    coins = tl.load(places + at, mask=at < size, other=0)
    coins = (coins ^ first) * (second | 1)
    coins = (coins ^ (coins >> 15)) * last
    kept = tl.load(scale + lane)
    values = tl.where(coins >= tl.load(threshold + lane), kept, tl.zeros_like(kept))
    tl.store(out + lane * size + at, values, mask=at < size)


def factors(places: Tensor, keys: Tensor, threshold: Tensor, scale: Tensor, last: int) -> Tensor:
    """Return what to multiply outputs and their gradients by, ``[lanes, width, columns]``.

    Args:
        places: A number for each (unit, column), int32.
        keys: Of the lanes, ``[lanes, 2]``, int32; the two stand side by side.
        threshold: Smallest coin that is kept, per lane, int32.
        scale: Factor of what is kept, per lane.
        last: What coins are multiplied by at the end.
    """
    n_lanes, size = len(keys), places.numel()
    out = torch.empty((n_lanes, *places.shape), dtype=scale.dtype, device=places.device)
    grid = (triton.cdiv(size, _BLOCK), n_lanes)
    _factors[grid](
        places, keys, keys.stride(0), threshold, scale, out, size, last=last, block=_BLOCK
    )
    return out
