"""Recurrent cells as Triton kernels: one launch for a step of all lanes, one pass over memory.

The cells are those of :mod:`hpsearch.layers.cells`, which they are tested against. Triton comes
with torch on machines with a GPU; this module is imported only where it is used.
"""

import math
from collections.abc import Sequence
from typing import Any

import triton
from torch import Tensor

from hpsearch.layers.activations import Relu, Tanh
from hpsearch.layers.cells import Cell, Gru, Lstm, State, Vanilla
from hpsearch.layers.kernel_layer import CellKernels
from hpsearch.layers.kernels.gru import gru_backward, gru_forward
from hpsearch.layers.kernels.lstm import lstm_backward, lstm_forward
from hpsearch.layers.kernels.vanilla import vanilla_backward, vanilla_forward

_BLOCK = 512  # numbers of each array that a program works on at once: four a thread
_WIDEST = 4  # numbers that a thread reads at once, if they stand at such a boundary

_KERNELS: dict[type[Cell], tuple[Any, Any]] = {
    Vanilla: (vanilla_forward, vanilla_backward),
    Gru: (gru_forward, gru_backward),
    Lstm: (lstm_forward, lstm_backward),
}


class _Launches(CellKernels):
    """Launches the two kernels of a cell."""

    def __init__(self, cell: Cell, constants: dict[str, object]) -> None:
        super().__init__(cell)
        self._forward, self._backward = _KERNELS[type(cell)]
        self._constants = constants

    def forward(
        self,
        gates: Tensor,
        ah: Tensor,
        biases: Sequence[Tensor],
        states: tuple[State, State],
        own: Tensor,
        steps: tuple[int, int, int],
        *,
        keeps: bool,
    ) -> None:
        before, after = states
        rest = (own,) if self.cell.has_own_recurrent_bias else ()
        batch = ah.shape[2]
        _launch(
            self._forward,
            before[0].shape[:2],
            batch,
            (gates, ah, *biases, *before, *after, *rest),
            (gates, before[0]),
            steps,
            keeps=keeps,
            **self._constants,
        )

    def backward(
        self,
        gates: Tensor,
        own: Tensor,
        states: State,
        d: Tensor,
        later: tuple[Tensor, Tensor],
        sums: Sequence[Tensor],
        step: int,
    ) -> None:
        rest = (own,) if self.cell.has_own_recurrent_bias else ()
        batch = later[0].shape[2]
        is_last = (step + 1) * batch == gates.shape[2]
        of_all = d.shape[2] == gates.shape[2]
        _launch(
            self._backward,
            states[0].shape[:2],
            batch,
            (gates, *later, d, *sums, states[-1], *rest),
            (gates, states[0], d),
            (step, step if of_all else 0),
            is_last=is_last,
            has_d=of_all or is_last,
            **self._constants,
        )


def _launch(
    kernel: Any,
    shape: Sequence[int],
    batch: int,
    tensors: Sequence[Tensor],
    rooms: Sequence[Tensor],
    steps: Sequence[int],
    **constants: object,
) -> None:
    """Run a kernel over all lanes and units.

    Args:
        kernel: Of a cell.
        shape: Lanes and units.
        batch: Columns of a step.
        tensors: The kernel's.
        rooms: Of them those that have columns of several steps.
        steps: Which are meant.
        constants: The kernel's.
    """
    n_lanes, hidden = shape
    block = block_of(batch)
    counts = (hidden, batch // block["group"], *(room.shape[2] // batch for room in rooms))
    kernel[(triton.cdiv(hidden, block["n_rows"]), n_lanes)](
        *tensors, *counts, *steps, **block, **constants
    )


def block_of(batch: int) -> dict[str, int]:
    """Return the constants a kernel is compiled for: the same for many sizes of a batch."""
    n_columns = min(triton.next_power_of_2(batch), _BLOCK)
    return {
        "group": math.gcd(batch, _WIDEST),
        "n_rows": _BLOCK // n_columns,
        "n_columns": n_columns,
        "is_one": batch <= n_columns,
    }


def kernels_of(cell: Cell) -> CellKernels | None:
    """Return the kernels of a cell, None if there are none for it.

    Args:
        cell: Exactly one of those known here: one derived from them may do something else.
    """
    if type(cell) not in _KERNELS:
        return None
    if not isinstance(cell, Vanilla):
        return _Launches(cell, {})
    known = {Tanh: False, Relu: True}
    kind = type(cell.activation)
    return _Launches(cell, {"is_relu": known[kind]}) if kind in known else None
