"""The update of a pack whose steps are recorded: everything it needs stands on the device."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.layers.compiler import has_kernels
from hpsearch.optimizers.base import Optimizer
from hpsearch.training.kernels.launch import L2, Launch
from hpsearch.training.lane import Lane
from hpsearch.training.packing import optimizer_of
from hpsearch.training.resident import Resident
from hpsearch.training.update import Rows, Trained, Update, coefficients, later_l2


class FromTable(Update):
    """The rule of all lanes, its coefficients looked up in a table by a counter on the device.

    One kernel for each parameter where there is one for the rule, the rule in plain torch where
    there is none. Either adds the gradient of l2 terms on its way: before, that would
    cost three more passes over memory.

    Args:
        lanes: The lanes of the pack, in the order of its rows.
        n_steps: Steps of an epoch.
        resident: Says device and dtype.
        trained: What is changed.
    """

    takes_l2 = True

    def __init__(
        self, lanes: Sequence[Lane], n_steps: int, resident: Resident, trained: Trained
    ) -> None:
        super().__init__(lanes, n_steps, resident)
        self._rule = type(optimizer_of(lanes[0].spec.config))
        self._rows = [
            (weight, tuple(buffer[i] for buffer in trained.buffers), is_weight)
            for i, (weight, is_weight) in enumerate(
                zip(trained.weights, trained.is_weight, strict=True)
            )
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
        table = _table(self._lanes, steps, self._n_steps)
        values = np.stack([table[name] for name in self._names], 1)
        to_device(values, self._table[: len(steps)])

    def __call__(self, offset: int, gradients: Rows, l2: Sequence[float]) -> None:  # noqa: ARG002 - the device counts
        """Apply the rule to each parameter of all lanes."""
        adds_l2 = any(l2)
        if self._launch is not None:
            for (weight, buffers, is_weight), gradient in zip(self._rows, gradients, strict=True):
                self._launch(
                    weight,
                    gradient,
                    buffers,
                    self._table,
                    self._row,
                    adds_l2=adds_l2 and is_weight,
                )
            return
        present = self._table.index_select(0, self._row)[0, :, :, None, None]
        c = dict(zip(self._names, present.unbind(0), strict=True))
        for (weight, buffers, is_weight), gradient in zip(self._rows, gradients, strict=True):
            if adds_l2 and is_weight:
                gradient.addcmul_(weight, c[L2])
            self._rule.update(weight, gradient, buffers, c)


def names_of(lanes: Sequence[Lane], n_steps: int, room: int) -> tuple[str, ...]:
    """Return the coefficients to keep a table of: optional ones only where a lane uses them.

    Args:
        lanes: Of one pack.
        n_steps: Steps of an epoch.
        room: Steps to prepare at once; if that is not an epoch, nobody knows what comes later,
            and no coefficient is left out.
    """
    table = _table(lanes, range(min(n_steps, room)), n_steps)
    optional = optimizer_of(lanes[0].spec.config).optional if n_steps <= room else ()
    return tuple(name for name, values in table.items() if name not in optional or values.any())


def _table(lanes: Sequence[Lane], steps: range, n_steps: int) -> Mapping[str, NDArray[np.float64]]:
    """Return the coefficients ``[steps, lanes]`` of the rule, and of l2 terms if there are any."""
    table = coefficients(lanes, steps, n_steps)
    l2 = [later_l2(optimizer_of(lane.spec.config)) for lane in lanes]
    return {**table, L2: np.tile(l2, (len(steps), 1))} if any(l2) else table


def to_device(values: NDArray[Any], target: Tensor) -> None:
    """Copy host memory into a device's without waiting for it."""
    source = torch.from_numpy(values).to(target.dtype)
    if target.is_cuda and source.numel():
        source = source.pin_memory()
    target.copy_(source, non_blocking=True)


def launch_of(rule: type[Optimizer], names: tuple[str, ...], device: str) -> Launch | None:
    """Return what launches the rule's kernel on this device; None: work in plain torch."""
    if not has_kernels(device):
        return None
    from hpsearch.training.kernels import update

    return update.launch_of(rule, names)
