"""What a trainer keeps on its device from one run to the next: examples, and packs without lanes.

Recorded steps read and write where they were recorded. As long as the examples and the stacks of
a pack stay where they are, the next lanes of its kind need not be recorded again.
"""

from collections import OrderedDict
from collections.abc import Hashable

import torch

from hpsearch.datasets.splits import Splits
from hpsearch.training.pack import Pack
from hpsearch.training.resident import Resident

_MOST_RESIDENTS = 2
_MOST_PACKS = 4


class Warm:
    """Examples and empty packs; those long unused go first."""

    def __init__(self) -> None:
        self._residents: OrderedDict[Hashable, Resident] = OrderedDict()
        self._packs: OrderedDict[Hashable, Pack] = OrderedDict()

    def resident(self, splits: Splits, *, device: torch.device, dtype: torch.dtype) -> Resident:
        """Return these examples on the device, the ones used before if they are still there."""
        key = (id(splits), device, dtype)  # a resident holds its splits: the id stays theirs
        resident = self._residents.pop(key, None)
        if resident is None:
            resident = Resident(splits, device=device, dtype=dtype)
        self._residents[key] = resident
        while len(self._residents) > _MOST_RESIDENTS:
            self._residents.popitem(last=False)
        return resident

    def take(self, key: Hashable) -> Pack | None:
        """Return an empty pack kept under this key; it is not kept any longer."""
        return self._packs.pop(key, None)

    def keep(self, key: Hashable, pack: Pack) -> None:
        """Keep an empty pack; only one that records its steps is worth its memory."""
        if not pack.is_recorded:
            pack.release()
            return
        replaced = self._packs.pop(key, None)
        if replaced is not None:
            replaced.release()
        self._packs[key] = pack
        while len(self._packs) > _MOST_PACKS:
            self._packs.popitem(last=False)[1].release()

    def clear(self) -> bool:
        """Let go of all packs, and return whether there were any."""
        had_some = bool(self._packs)
        while self._packs:
            self._packs.popitem()[1].release()
        return had_some
