"""Steps at which nobody looks at anything: noted down once an epoch, then played in one call."""

import torch
from torch import Tensor

from hpsearch.native.library import kernel, launch, recording
from hpsearch.native.processor import processor
from hpsearch.native.tape import Tape
from hpsearch.training.batches import Batches
from hpsearch.training.resident import Resident
from hpsearch.training.step import Step


class PlainSteps:
    """The steps of an epoch that do nothing but train, of whole batches.

    A tape of their kernels replaces the interpreter, which takes as long as a small network's
    products. What is noted is a step itself, so that both do the same.

    Args:
        step: Of the epoch, nothing but kernels.
        batches: Its batches.
        resident: The examples.
    """

    def __init__(self, step: Step, batches: Batches, resident: Resident) -> None:
        self._step, self._batches, self._resident = step, batches, resident
        self._targets = batches.targets()
        self._x = batches.room()
        scale = [resident.splits.shift, resident.splits.factor]
        self._scale = torch.tensor(scale, dtype=resident.dtype)
        self._tape: Tape | None = None
        found = processor()
        assert found is not None  # noqa: S101 - there are kernels
        dtype = str(resident.dtype).removeprefix("torch.")
        stored = "bytes" if resident.train.x.dtype == torch.uint8 else "reals"
        self._pick = kernel(found, "pick", dtype, variant=stored)
        self._play = kernel(found, "play", dtype)

    def take(self, numbers: range, offset: int, keys: Tensor) -> None:
        """Take steps, numbered within the epoch from 0.

        Args:
            numbers: Of the steps.
            offset: Of the first one among those prepared.
            keys: Of one step: none is drawn from.
        """
        if self._tape is None:
            self._tape = self._noted(numbers.start, offset, keys)
            numbers = numbers[1:]
        if numbers:
            self._play(*self._tape.arguments(numbers.start, len(numbers)))

    def _noted(self, number: int, offset: int, keys: Tensor) -> Tape:
        """Take one step and return the tape of it."""
        size = self._batches.size
        steps = {"order": size * 8, "y": size * 8, "table": self._step.update.row_bytes}
        tape = Tape(steps, number)
        with recording(tape):
            x = self._picked(number)
            y = self._targets[:, number * size : (number + 1) * size]
            self._step(x, y, y, offset, keys)
        return tape

    def _picked(self, number: int) -> Tensor:
        source, order, x = self._resident.train.x, self._batches.order, self._x
        here = order[:, number * self._batches.size :]
        arguments = (
            x.shape[0],
            x.shape[1],
            x.shape[2],
            source.data_ptr(),
            here.data_ptr(),
            order.stride(0) * order.element_size(),
            self._scale.data_ptr(),
            x.data_ptr(),
        )
        launch(self._pick, arguments, (source, order, self._scale, x))
        return x[0] if self._batches.is_shared else x.transpose(1, 2)
