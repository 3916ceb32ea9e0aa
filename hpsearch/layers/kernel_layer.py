"""A recurrent layer whose cell is one kernel a step, in memory that is used three times over.

What the inputs contribute to the gates gives way to the gates, and these to their gradients. The
outputs of all steps stand side by side behind the state before the first one, so that every step
reads its own last output where it was written.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from hpsearch.layers.cells import Cell, State
from hpsearch.layers.compiler import has_kernels
from hpsearch.layers.products import Products
from hpsearch.layers.recurrent_layer import Layer, Rooms


class CellKernels(ABC):
    """A step of a cell forward and back, in place, on columns of larger arrays.

    Args:
        cell: Whose steps they are.

    Attributes:
        cell: The same.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    @abstractmethod
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
        """Write the next state.

        Args:
            gates: What the inputs contribute, without bias, ``[lanes, gates, steps · batch]``.
            ah: What the last output contributes, without bias, ``[lanes, gates, batch]``.
            biases: Of inputs and of the last output.
            states: Where the state is found, and where the next one goes.
            own: Like ``gates``, for cells whose last output has a bias of its own.
            steps: Which columns of gates, of the state, and of the next state are meant.
            keeps: Whether ``gates`` and ``own`` take what the way back needs.
        """

    @abstractmethod
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
        """Replace what was kept by the gradients of what was contributed; steps come last first.

        Args:
            gates: What was kept; it takes the gradients of the inputs' contributions.
            own: Takes those of the last outputs' contributions, where they differ.
            states: Of all steps, the one before the first step included.
            d: Gradient of the outputs of all steps, or of the last step's alone.
            later: Gradient of the state after this step: of its output through the gates; and
                the rest, which is replaced by the rest of the state before.
            sums: Take the biases' gradients, added up over steps; of the last output's bias
                only the part that differs from the other.
            step: Which it is.
        """


class KernelLayer(Layer):
    """One recurrent layer on a device whose products take parts of matrices as they are.

    Args:
        kernels: Of its cell.
        products: How matrices are multiplied.
        n_steps: Steps an input is cut into.
    """

    def __init__(self, kernels: CellKernels, products: Products, n_steps: int) -> None:
        super().__init__(kernels.cell)
        self._kernels, self._products, self._n_steps = kernels, products, n_steps
        self._rooms = Rooms()
        self._input = self._gates = self._own = torch.empty(0)
        self._states: State = ()

    def advance(self, parameters: Sequence[Tensor], x: Tensor, state: State) -> State:
        """Return the next state; the gates' memory is let go of."""
        weight, recurrent, *biases = parameters
        ah = self._products.forward(recurrent, state[0])
        gates = self._products.forward(weight, x)
        after = tuple(torch.empty_like(one) for one in state)
        self._kernels.forward(gates, ah, biases, (state, after), gates, (0, 0, 0), keeps=False)
        return after

    def forward(self, parameters: Sequence[Tensor], x: Tensor, *, is_last: bool) -> Tensor:
        """Return the outputs of all steps, or the last one: parts of a larger array."""
        weight, recurrent, *biases = parameters
        n_lanes, n_rows, width = recurrent.shape
        n_columns = x.shape[0 if x.dim() == 2 else 2]
        batch = n_columns // self._n_steps
        room = self._rooms.take("gates", x, (n_lanes, n_rows, n_columns))
        self._gates = self._products.forward(weight, x, room)
        self._own = self._gates
        if self._cell.has_own_recurrent_bias:
            self._own = self._rooms.take("own", x, room.shape)
        self._states = tuple(
            self._rooms.take(f"state {i}", x, (n_lanes, width, n_columns + batch))
            for i in range(self._cell.n_states)
        )
        for state in self._states:
            state[:, :, :batch].zero_()
        both = (self._states, self._states)
        for step in range(self._n_steps):
            h = self._states[0][:, :, step * batch : (step + 1) * batch]
            ah = self._products.forward(recurrent, h)
            steps = (step, step, step + 1)
            self._kernels.forward(self._gates, ah, biases, both, self._own, steps, keeps=True)
        self._input = x
        return self._states[0][:, :, n_columns if is_last else batch :]

    def backward(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        d: Tensor,
        *,
        is_first: bool,
    ) -> tuple[list[Tensor], Tensor | None]:
        """Return the gradients, and that of the input (None of the first layer)."""
        n_columns = self._gates.shape[2]
        batch = n_columns // self._n_steps
        gates, own, sums, d = self._gates, self._own, gradients[2:], d.contiguous()
        around = d.new_empty((d.shape[0], d.shape[1], batch))
        later = around  # of the last step nothing is read
        for step in reversed(range(self._n_steps)):
            self._kernels.backward(gates, own, self._states, d, (later, around), sums, step)
            if step:
                d_ah = own[:, :, step * batch : (step + 1) * batch]
                later = self._products.input_gradient(parameters[1], d_ah)
        n_same = gates.shape[1] - (d.shape[1] if self._cell.has_own_recurrent_bias else 0)
        sums[1][:, :n_same].copy_(sums[0][:, :n_same])
        before = self._states[0][:, :, :n_columns]
        weight = self._products.weight_gradient(gates, self._input, gradients[0])
        recurrent = self._products.weight_gradient(own, before, gradients[1])
        found = [weight, recurrent, *sums]
        return found, None if is_first else self._products.input_gradient(parameters[0], gates)

    def forget(self) -> None:
        """Let go of all memory."""
        self._rooms = Rooms()
        self._input = self._gates = self._own = torch.empty(0)
        self._states = ()


def kernels_of(cell: Cell, device: torch.device) -> CellKernels | None:
    """Return the kernels of a cell on this device; None: work in plain torch."""
    if not has_kernels(device.type):
        return None
    from hpsearch.layers.kernels import cells

    return cells.kernels_of(cell)
