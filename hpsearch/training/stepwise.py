"""One epoch of a pack, step by step, each told to the device as it comes."""

from collections.abc import Callable, Iterator

import torch
from numpy import int32
from numpy.typing import NDArray

from hpsearch.training.batches import Batches
from hpsearch.training.plain_steps import PlainSteps
from hpsearch.training.resident import Resident
from hpsearch.training.step import Step


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
        self._batches, self._resident, self._keys = batches, resident, keys
        self._plain = PlainSteps(step, batches, resident) if step.is_kernels else None

    def take(self, steps: range) -> None:
        """Take the steps of these numbers, counted within the epoch from 0."""
        step, batches = self.step, self._batches
        step.prepare(steps)
        keys = torch.from_numpy(self._keys(steps)).to(self._resident.device).unbind(0)
        for numbers, is_plain in self._stretches(steps):
            offset = numbers.start - steps.start
            if is_plain and self._plain is not None:
                self._plain.take(numbers, offset, keys[offset])
                continue
            for inputs, targets in batches.of(numbers):
                for x, y, aim in zip(inputs, targets, step.aims(targets), strict=True):
                    step(x, y, aim, offset, keys[offset])
                    offset += 1

    def _stretches(self, steps: range) -> Iterator[tuple[range, bool]]:
        """Yield the steps in order: plain ones of whole batches together, with True, or others."""
        if self._plain is None:
            yield steps, False
            return
        start = steps.start
        while start < steps.stop:
            stop = start + 1
            while stop < steps.stop and self._is_plain(stop) == self._is_plain(start):
                stop += 1
            yield range(start, stop), self._is_plain(start)
            start = stop

    def _is_plain(self, number: int) -> bool:
        return number < self._batches.n_whole and self.step.kind(number).is_plain
