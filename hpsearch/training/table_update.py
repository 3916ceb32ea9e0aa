"""The update of a pack whose steps are recorded: everything it needs stands on the device."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.logs import get_logger
from hpsearch.optimizers.base import Optimizer
from hpsearch.training.lane import Lane
from hpsearch.training.packing import optimizer_of
from hpsearch.training.resident import Resident
from hpsearch.training.update import Rows, Trained, Update, coefficients

Launch = Callable[[Tensor, Tensor, Sequence[Tensor], Tensor, Tensor], None]
"""Weight, gradient, buffers, table of coefficients ``[steps, names, lanes]``, row in it."""

log = get_logger(__name__)


class FromTable(Update):
    """The rule of all lanes, its coefficients looked up in a table by a counter on the device.

    One kernel for each parameter where there is one for the rule, the rule in plain torch where
    there is none.

    Args:
        lanes: The lanes of the pack, in the order of its rows.
        n_steps: Steps of an epoch.
        resident: Says device and dtype.
        trained: What is changed.
    """

    def __init__(
        self, lanes: Sequence[Lane], n_steps: int, resident: Resident, trained: Trained
    ) -> None:
        super().__init__(lanes, n_steps, resident)
        self._rule = type(optimizer_of(lanes[0].spec.config))
        self._rows = [
            (weight, tuple(buffer[i] for buffer in trained.buffers))
            for i, weight in enumerate(trained.weights)
        ]
        self._names: tuple[str, ...] = ()
        self._row = self._table = torch.empty(0)
        self._launch: Launch | None = None

    def stand(self, names: tuple[str, ...], room: int, row: Tensor) -> None:
        """Take the memory that stays: before the first step.

        Args:
            names: Of the coefficients, from :func:`names_of`.
            room: Steps to prepare at once.
            row: Where the number of the step among those prepared is found, ``[1]``.
        """
        resident = self._resident
        self._names, self._row = names, row
        self._table = torch.zeros(
            (room, len(names), len(self._lanes)), dtype=resident.dtype, device=resident.device
        )
        self._launch = launch_of(self._rule, names, resident.device.type)

    def begin(self, lanes: Sequence[Lane]) -> None:
        """Take on the lanes of another epoch, as many as before."""
        self._lanes = lanes

    def prepare(self, steps: range) -> None:
        """Fill the table: in float64, cast last, each lane's own steps."""
        table = coefficients(self._lanes, steps, self._n_steps)
        values = np.stack([table[name] for name in self._names], 1)
        to_device(values, self._table[: len(steps)])

    def __call__(self, offset: int, gradients: Rows, l2: Sequence[float]) -> None:  # noqa: ARG002 - the device counts; l2 is not taken
        """Apply the rule to each parameter of all lanes."""
        if self._launch is not None:
            for (weight, buffers), gradient in zip(self._rows, gradients, strict=True):
                self._launch(weight, gradient, buffers, self._table, self._row)
            return
        present = self._table.index_select(0, self._row)[0, :, :, None, None]
        c = dict(zip(self._names, present.unbind(0), strict=True))
        for (weight, buffers), gradient in zip(self._rows, gradients, strict=True):
            self._rule.update(weight, gradient, buffers, c)


def names_of(lanes: Sequence[Lane], n_steps: int, room: int) -> tuple[str, ...]:
    """Return the coefficients to keep a table of: optional ones only where a lane uses them.

    Args:
        lanes: Of one pack.
        n_steps: Steps of an epoch.
        room: Steps to prepare at once; if that is not an epoch, nobody knows what comes later,
            and no coefficient is left out.
    """
    table = coefficients(lanes, range(min(n_steps, room)), n_steps)
    optional = optimizer_of(lanes[0].spec.config).optional if n_steps <= room else ()
    return tuple(name for name, values in table.items() if name not in optional or values.any())


def to_device(values: NDArray[Any], target: Tensor) -> None:
    """Copy host memory into a device's without waiting for it."""
    source = torch.from_numpy(values).to(target.dtype)
    if target.is_cuda and source.numel():
        source = source.pin_memory()
    target.copy_(source, non_blocking=True)


def launch_of(rule: type[Optimizer], names: tuple[str, ...], device: str) -> Launch | None:
    """Return what launches the rule's kernel on this device; None: work in plain torch."""
    if device != "cuda" or not _has_triton():
        return None
    from hpsearch.training import kernels

    return kernels.launch_of(rule, names)


@cache
def _has_triton() -> bool:
    try:
        import hpsearch.training.kernels  # noqa: F401 - the import is the question
    except ImportError as error:
        log.warning("no_triton", reason=str(error)[:200], then="plain torch updates the weights")
        return False
    return True
