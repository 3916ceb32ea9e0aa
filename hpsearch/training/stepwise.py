"""One epoch of a pack, step by step, each told to the device as it comes."""

from collections.abc import Callable, Iterator

import torch
from numpy import int32
from numpy.typing import NDArray

from hpsearch.training.batches import Batches
from hpsearch.training.resident import Resident
from hpsearch.training.step import Kind, Step
from hpsearch.training.taped import Taped

_WINDOW = 4096  # steps made ready at once: an epoch seldom has more


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
        self._batches, self._make_keys, self._device = batches, keys, resident.device
        self._taped = Taped(step, batches, resident) if step.is_kernels else None
        self._window = range(0)
        self._next = 0  # step after those taken
        self._keys = torch.empty(0)

    def take(self, steps: range) -> None:
        """Take the steps of these numbers, counted within the epoch from 0."""
        while steps:
            if steps.start not in self._window or steps.start != self._next:
                self._open(steps.start)
            here = range(steps.start, min(steps.stop, self._window.stop))
            self._take(here)
            self._next = here.stop
            steps = range(here.stop, steps.stop)

    def _open(self, start: int) -> None:
        """Get ready for many steps from this one on."""
        self._window = range(start, min(start + _WINDOW, self._batches.n_steps))
        self.step.prepare(self._window)
        self._keys = torch.from_numpy(self._make_keys(self._window)).to(self._device)
        if self._taped is not None:
            self._taped.forget()

    def _take(self, steps: range) -> None:
        step, batches = self.step, self._batches
        for numbers, kind in self._stretches(steps):
            offset = numbers.start - self._window.start
            if kind is not None and self._taped is not None:
                self._taped.take(numbers, kind, offset, self._keys[offset])
                continue
            for inputs, targets in batches.of(numbers):
                for x, y, aim in zip(inputs, targets, step.aims(targets), strict=True):
                    step(x, y, aim, offset, self._keys[offset])
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
