"""Steps of an epoch that are kernels only: noted down once an epoch, then played in one call."""

import torch
from torch import Tensor

from hpsearch.layers.native_kernels import kernel_of
from hpsearch.native.library import launch, recording
from hpsearch.native.processor import processor
from hpsearch.native.tape import Tape
from hpsearch.training.batches import Batches
from hpsearch.training.resident import Resident
from hpsearch.training.step import Kind, Step


class Taped:
    """The steps of an epoch whose batches are whole, if nothing but kernels takes them.

    A tape of their kernels replaces the interpreter, which takes as long as a small network's
    products. What is noted is a step itself, so that both do the same.

    Args:
        step: Of the epoch.
        batches: Its batches.
        resident: The examples.
    """

    def __init__(self, step: Step, batches: Batches, resident: Resident) -> None:
        self._step, self._batches, self._resident = step, batches, resident
        self._targets = batches.targets()
        self._x = batches.room()
        scale = [resident.splits.shift, resident.splits.factor]
        self._scale = torch.tensor(scale, dtype=resident.dtype)
        self._tapes: dict[bool, Tape] = {}
        found = processor()
        assert found is not None  # noqa: S101 - there are kernels
        stored = "bytes" if resident.train.x.dtype == torch.uint8 else "reals"
        self._pick = kernel_of(found, "pick", resident.dtype, variant=stored)
        self._play = kernel_of(found, "play", resident.dtype)

    def take(self, numbers: range, kind: Kind, offset: int, keys: Tensor) -> None:
        """Take steps of one kind; only plain ones may be several.

        Args:
            numbers: Within the epoch, from 0.
            kind: Of them.
            offset: Of the first one among those prepared.
            keys: Of the first step; those of the next one follow in memory.
        """
        if kind.is_plain not in self._tapes:
            self._tapes[kind.is_plain] = self._noted(numbers.start, offset, keys)
            numbers = numbers[1:]
        if not numbers:
            return
        self._play(*self._tapes[kind.is_plain].arguments(numbers.start, len(numbers)))
        if not kind.is_plain:
            self._step.count(kind)
            self._step.look(kind)

    def forget(self) -> None:
        """Let go of the tapes: what they read by steps stands elsewhere now."""
        self._tapes.clear()

    def _noted(self, number: int, offset: int, keys: Tensor) -> Tape:
        """Take one step and return the tape of it."""
        size, row = self._batches.size, self._step.coefficients(offset)
        number_bytes = self._targets.element_size()
        tape = Tape(
            {
                "order": size * 8,
                "y": size * number_bytes,
                "table": row.nbytes,
                "keys": keys.nbytes,
            },
            number,
            n_lanes=row.shape[0],
            size=row.element_size(),
            columns=row.shape[1],
        )
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
            0 if self._batches.is_shared else order.stride(0) * order.element_size(),
            self._scale.data_ptr(),
            x.data_ptr(),
        )
        launch(self._pick, arguments, (source, order, self._scale, x))
        return x[0] if self._batches.is_shared else x.transpose(1, 2)
