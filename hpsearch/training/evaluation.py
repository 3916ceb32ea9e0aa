"""How good lanes are on a split, all at once."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.layers.network import Network
from hpsearch.training.losses import Loss
from hpsearch.training.resident import Resident, ResidentPart

_CPU_BATCH: Final = 512  # fixed: a lane's sums must not depend on the others
_GPU_COLUMNS: Final = 2**19  # examples times lanes at once: a thousand lanes have to fit, too
_GPU_BATCH: Final = 8192
_POLL_S = 0.2  # half of what the engine promises its caller


def evaluate(
    network: Network,
    parameters: Sequence[Tensor],
    part: ResidentPart,
    *,
    loss: Loss,
    resident: Resident,
    poll: Callable[[], None],
    watch: Callable[[Tensor, Tensor], None] | None = None,
) -> NDArray[Any]:
    """Return the loss's sums ``[lanes, n_sums]`` over one split.

    Args:
        network: The program.
        parameters: Weights of the lanes, ``[lanes, ...]`` each.
        part: The split.
        loss: What is measured.
        resident: Scales the inputs.
        poll: Called every fifth of a second; may raise to leave.
        watch: Shown the outputs and targets of every batch; must not change them.
    """
    sums = torch.zeros(
        (parameters[0].shape[0], loss.n_sums), dtype=torch.float64, device=resident.device
    )
    looked, size = time.monotonic(), _batch(resident.device.type, len(sums))
    for begin in range(0, len(part), size):
        z = network.forward(parameters, resident.scaled(part.x[begin : begin + size]))
        if watch is not None:
            watch(z, part.y[begin : begin + size])
        sums += loss.sums(z, part.y[begin : begin + size])
        if time.monotonic() - looked > _POLL_S:
            poll()
            looked = time.monotonic()
    return sums.cpu().numpy()


def _batch(device: str, n_lanes: int) -> int:
    """Return how many examples to look at in one go."""
    if device == "cpu":
        return _CPU_BATCH
    return max(1, min(_GPU_BATCH, _GPU_COLUMNS // n_lanes))
