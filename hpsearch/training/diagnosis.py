"""Signs of how a lane's training goes, cheap enough to be looked at in every epoch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpsearch.layers.network import Network

_SAME = 1e-6  # spread of a unit's output over all examples below which it says nothing
_FLAT = 0.005  # of the way between the two ends a function flattens towards: 0.99 of tanh
TINY = 1e-30  # keeps the ratio of a lane without weights finite


class Watch:
    """Looks at the hidden units while a split is evaluated, and finds those that say nothing.

    A unit is dead that puts out the same for every example: a relu that never fires, a sigmoid or
    tanh driven to one of its flat ends, from where hardly a gradient leads back. Flat is, for
    every example, above 0.99 (or below -0.99) of tanh, above 0.995 (or below 0.005) of sigmoid.
    Of recurrent layers, tanh is what GRU and LSTM put out; the last layer is looked at where it
    decides, at the last step, those below it at every step.

    Args:
        network: The program that is evaluated.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._highest: list[Tensor] = []
        self._lowest: list[Tensor] = []

    def __call__(self, z: Tensor, y: Tensor) -> None:  # noqa: ARG002 - as evaluation calls it
        """Take in the outputs of one batch."""
        hidden = self._network.hidden()
        highest = [layer.amax(2) for layer in hidden]
        lowest = [layer.amin(2) for layer in hidden]
        if self._highest:
            highest = [a.maximum(b) for a, b in zip(highest, self._highest, strict=True)]
            lowest = [a.minimum(b) for a, b in zip(lowest, self._lowest, strict=True)]
        self._highest, self._lowest = highest, lowest

    def dead(self) -> list[int] | None:
        """Return how many units said the same of every example, per lane.

        Padding counts as dead. None if the network shows no hidden units.
        """
        if not self._highest:
            return None
        ends = self._network.flat_ends
        margin = 0.0 if ends is None else _FLAT * (ends[1] - ends[0])
        n_dead: Tensor | int = 0
        for high, low in zip(self._highest, self._lowest, strict=True):
            is_dead = high - low <= _SAME
            if ends is not None:
                is_dead |= (high < ends[0] + margin) | (low > ends[1] - margin)
            n_dead = n_dead + is_dead.sum(1)
        assert isinstance(n_dead, Tensor)  # noqa: S101 - there is a layer
        return [int(n) for n in n_dead.tolist()]


def norms(tensors: Sequence[Tensor], which: Sequence[bool] | None = None) -> Tensor:
    """Return each lane's norm over several tensors, ``[lanes]``.

    Args:
        tensors: ``[lanes, ...]`` each.
        which: Those to count, all if None.
    """
    total = torch.zeros_like(tensors[0][:, 0, 0])
    for index, tensor in enumerate(tensors):
        if which is None or which[index]:
            total = total + torch.linalg.vector_norm(tensor.flatten(1), dim=1).square()
    return total.sqrt()


def ratios(before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
    """Return by how much of their own size each lane's weights were changed, ``[lanes]``."""
    changes = [new - old for old, new in zip(before, after, strict=True)]
    return norms(changes) / norms(before).clamp_min(TINY)
