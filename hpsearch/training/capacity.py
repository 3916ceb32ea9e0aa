"""How many lanes pay: a table until the planner measures the device.

On one CPU core fusion gains while the stack of weights stays in the second-level cache and
loses beyond it; on a GPU it gains until the device is busy, and memory is the limit. The
figures are those of narrow and wide perceptrons on images of 28x28 pixels.
"""

import math
from collections.abc import Hashable, Mapping
from typing import Literal

import torch

from hpsearch.layers.stack import Shapes
from hpsearch.training.host_memory import available_bytes

Lanes = int | Literal["auto"]

_CPU_TOTAL = 4  # asked before any width is known: most of the gain, and early first results
_GPU_TOTAL = 64
_CPU_MOST = 16  # of several kinds: two or three lanes of each of half a dozen
_CPU_STRANGERS = 6  # lanes of as many kinds; their like may never come
_CPU_PARAMETERS = ((120_000, 8), (220_000, 4))  # up to so many weights a lane: so many lanes
_CPU_WIDE = 2
_GPU_PARAMETERS = ((120_000, 128), (600_000, 64), (10_000_000, 16))
_GPU_WIDE = 4

_OUT_OF_MEMORY = (  # of a plain RuntimeError
    "can't allocate memory",  # torch's allocator of a CPU; on Windows:
    "not enough memory",
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN, of their own workspaces
    "CUDA error: out of memory",  # the driver, of a graph
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; not all of torch has a class for it."""
    is_of_class = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return is_of_class or any(words in str(error) for words in _OUT_OF_MEMORY)


def free_bytes(device: torch.device) -> float:
    """Return the memory of the device that nobody uses now and this process may take."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what torch only keeps at hand; not what graphs need
        return float(torch.cuda.mem_get_info(device)[0])
    return available_bytes()


def most_lanes(lanes: Lanes, device: torch.device) -> int:
    """Return how many lanes a run may hold before any of them is known."""
    if lanes != "auto":
        return lanes
    return _CPU_TOTAL if device.type == "cpu" else _GPU_TOTAL


def most_of_kinds(limits: Mapping[Hashable, int], n_live: int) -> int:
    """Return how many lanes of these kinds a CPU should hold, chosen by `auto`.

    Only lanes of one kind share a pack. For packs to fill there have to be more lanes than pay
    for one pack; but where no lane has met its like among a handful, it would wait in vain.

    Args:
        limits: Of each kind of pack there is, the lanes that pay.
        n_live: Lanes there are in all.
    """
    most = _CPU_MOST if n_live > len(limits) else _CPU_STRANGERS
    return min(sum(limits.values()), max(most, *limits.values()))


def pack_lanes(
    lanes: Lanes, device: torch.device, shapes: Shapes, most_on_cpu: int | None = None
) -> int:
    """Return how many lanes of these parameter shapes one pack should hold.

    Args:
        lanes: What the user wants.
        device: Where they are trained.
        shapes: Of the parameters.
        most_on_cpu: What the model family knows better than the table.
    """
    if lanes != "auto":
        return lanes
    if device.type == "cpu" and most_on_cpu is not None:
        return most_on_cpu
    n_weights = sum(math.prod(shape) for shape in shapes.values())
    table, wide = (
        (_CPU_PARAMETERS, _CPU_WIDE) if device.type == "cpu" else (_GPU_PARAMETERS, _GPU_WIDE)
    )
    return next((most for limit, most in table if n_weights <= limit), wide)
