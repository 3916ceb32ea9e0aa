"""One epoch of a pack, step by step, each told to the device as it comes."""

from collections.abc import Callable, Iterator

import torch
from numpy import int32
from numpy.typing import NDArray

from hpsearch.training.batches import Batches
from hpsearch.training.resident import Resident
from hpsearch.training.step import Kind, Step
from hpsearch.training.taped import Taped


class Stepwise:
    """The coming epoch of the first lanes of a pack.

    Args:
        step: What is done to each batch.
        batches: They.
        resident: The examples.
        keys: Returns the keys of what the lanes draw at some steps, ``[steps, lanes, draws, 2]``.

    Attributes:
        step: As above; holds what the epoch adds up.
    """

    def __init__(
        self,
        step: Step,
        batches: Batches,
        resident: Resident,
        keys: Callable[[range], NDArray[int32]],
    ) -> None:
        self.step = step
        self._batches, self._resident = batches, resident
        self._keys = torch.from_numpy(keys(range(batches.n_steps))).to(resident.device)
        self._taped = Taped(step, batches, resident) if step.is_kernels else None

    def take(self, steps: range) -> None:
        """Take the steps of these numbers, counted within the epoch from 0."""
        step, batches = self.step, self._batches
        step.prepare(steps)
        keys = self._keys[steps.start : steps.stop].unbind(0)
        for numbers, kind in self._stretches(steps):
            offset = numbers.start - steps.start
            if kind is not None and self._taped is not None:
                self._taped.take(numbers, kind, offset, keys[offset])
                continue
            for inputs, targets in batches.of(numbers):
                for x, y, aim in zip(inputs, targets, step.aims(targets), strict=True):
                    step(x, y, aim, offset, keys[offset])
                    offset += 1

    def _stretches(self, steps: range) -> Iterator[tuple[range, Kind | None]]:
        """Yield the steps in order: those a tape can take by their kind, plain ones together."""
        n_taped = 0 if self._taped is None else self._batches.n_whole
        start = steps.start
        while start < min(steps.stop, n_taped):
            kind, stop = self.step.kind(start), start + 1
            while kind.is_plain and stop < min(steps.stop, n_taped):
                if not self.step.kind(stop).is_plain:
                    break
                stop += 1
            yield range(start, stop), kind
            start = stop
        if start < steps.stop:
            yield range(start, steps.stop), None
