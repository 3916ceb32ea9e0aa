"""The batches of one epoch, shared by all lanes of a pack where their orders agree."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.training.lane import Lane
from hpsearch.training.resident import Resident
from hpsearch.training.seeds import epoch_order

_BLOCK_BYTES = 1 << 21  # gathered at once: steps enough to make little of its operations


def orders(
    lanes: Sequence[Lane], n_examples: int, seed: int
) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Return the different orders of the lanes' coming epochs, and which of them each lane has.

    Lanes in the same epoch of one study visit the examples in the same order.
    """
    keys = [
        (
            lane.epoch + 1,
            lane.number if lane.spec.config.training.data_order == "per_trial" else None,
        )
        for lane in lanes
    ]
    row = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    found = [epoch_order(seed, epoch, n_examples, number) for epoch, number in row]
    return found, [row[key] for key in keys]


class Batches:
    """One epoch of every lane: each lane's next, in its own order.

    Lanes in the same epoch of one study visit the examples in the same order, so they share
    their batches, and a layer can treat them as one; otherwise every lane gets its own.

    Args:
        lanes: The lanes of the pack, in the order of its rows.
        resident: The examples.
        size: Examples of a batch; the last, smaller one is used too.
        seed: The study's seed.

    Attributes:
        size: Examples of a batch.
        is_shared: Whether the lanes share their batches.
        order: Numbers of the examples as they follow each other, ``[1, examples]`` if they share
            it, else ``[lanes, examples]``.
    """

    def __init__(self, lanes: Sequence[Lane], resident: Resident, size: int, seed: int) -> None:
        self._resident, self.size = resident, size
        self._n_examples = len(resident.train)
        found, which = orders(lanes, self._n_examples, seed)
        self.is_shared = len(found) == 1
        n_inputs = resident.train.x.shape[1] * (1 if self.is_shared else len(lanes))
        # of each target, every lane makes as many numbers as it has outputs
        n_numbers = size * max(n_inputs, resident.splits.n_outputs * len(lanes))
        self._block = size * max(1, _BLOCK_BYTES // (n_numbers * resident.dtype.itemsize))
        order = torch.from_numpy(np.stack(found) if self.is_shared else np.stack(found)[which])
        self.order = order.to(resident.device)

    @property
    def n_steps(self) -> int:
        """Batches of the epoch."""
        return math.ceil(self._n_examples / self.size)

    def of(self, steps: range) -> Iterator[tuple[Sequence[Tensor], Tensor]]:
        """Yield the batches of these steps: inputs, one by one, and targets of several of a size.

        Inputs are ``[batch, features]`` where the lanes share them, else ``[lanes, features,
        batch]``; targets are ``[batches, 1, batch, ...]`` or ``[batches, lanes, batch, ...]``.
        """
        size, block = self.size, self._block
        stop = min(steps.stop * size, self._n_examples)
        whole = stop // size * size
        for begin in range(steps.start * size, whole, block):
            yield self._gathered(begin, min(begin + block, whole), size)
        if whole < stop and steps.start * size <= whole:
            yield self._gathered(whole, stop, stop - whole)

    @property
    def n_whole(self) -> int:
        """Batches that have the full size."""
        return self._n_examples // self.size

    def targets(self) -> Tensor:
        """Return the targets of the epoch in their order, ``[1 or lanes, examples, ...]``."""
        y = self._resident.train.y
        return y.index_select(0, self.order.reshape(-1)).view(*self.order.shape, *y.shape[1:])

    def room(self) -> Tensor:
        """Return memory for the inputs of one batch, ``[1 or lanes, batch, features]``."""
        x, dtype = self._resident.train.x, self._resident.dtype
        shape = (self.order.shape[0], self.size, x.shape[1])
        return torch.empty(shape, dtype=dtype, device=x.device)

    def _gathered(self, begin: int, end: int, size: int) -> tuple[Sequence[Tensor], Tensor]:
        train, index = self._resident.train, self.order[:, begin:end].reshape(-1)
        x = self._resident.scaled(train.x.index_select(0, index))
        y = train.y.index_select(0, index)
        if self.is_shared:
            return torch.split(x, size), y.view(-1, 1, size, *y.shape[1:])
        n_rows = self.order.shape[0]
        y = y.view(n_rows, -1, size, *y.shape[1:]).transpose(0, 1)
        return torch.split(x.view(n_rows, end - begin, -1).transpose(1, 2), size, 2), y
