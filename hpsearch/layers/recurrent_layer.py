"""One recurrent layer over lanes: its pass over the steps and back, differentiated by hand.

What the inputs contribute to the gates is one product over all steps; only what the last output
contributes has to wait for it. Sequences are matrices with a column for each (step, example).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from hpsearch.layers.cells import Cell, State
from hpsearch.layers.products import Products


class Layer(ABC):
    """What a recurrent network asks of each of its layers.

    Args:
        cell: What it does at every step.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def beginning(self, parameters: Sequence[Tensor], batch: int) -> State:
        """Return the state before the first step."""
        weight = parameters[1]
        zeros = weight.new_zeros((weight.shape[0], weight.shape[2], batch))
        return (zeros,) * self._cell.n_states

    @abstractmethod
    def advance(self, parameters: Sequence[Tensor], x: Tensor, state: State) -> State:
        """Return the next state, given a step's inputs; no way back follows."""

    @abstractmethod
    def forward(self, parameters: Sequence[Tensor], x: Tensor, *, is_last: bool) -> Tensor:
        """Return the outputs of all steps ``[lanes, hidden, steps · batch]``, or the last one.

        Args:
            parameters: Of this layer.
            x: Inputs of all steps.
            is_last: Whether only the last step's output is wanted.
        """

    @abstractmethod
    def backward(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        d: Tensor,
        *,
        is_first: bool,
    ) -> tuple[list[Tensor], Tensor | None]:
        """Return the gradients, and that of the input (None of the first layer).

        Args:
            parameters: Of this layer.
            gradients: Of this layer.
            d: Gradient of the outputs of all steps, or of the last one alone.
            is_first: Whether nothing stands before this layer.
        """

    @abstractmethod
    def forget(self) -> None:
        """Let go of all memory."""


class Rooms:
    """Memory by name, the same at every step: the system takes long to give so much anew."""

    def __init__(self) -> None:
        self._rooms: dict[str, Tensor] = {}

    def take(self, name: str, like: Tensor, shape: Sequence[int]) -> Tensor:
        """Return memory of this shape that holds anything; the name's last use is over.

        Args:
            name: What it is for.
            like: Of the same device and dtype.
            shape: Of the tensor.
        """
        n_numbers = math.prod(shape)
        room = self._rooms.get(name)
        if room is None or room.numel() < n_numbers:
            room = self._rooms[name] = like.new_empty(n_numbers)
        return room[:n_numbers].view(*shape)


class PlainLayer(Layer):
    """A layer in plain torch, whose steps each take memory of their own.

    Args:
        cell: What it does at every step.
        products: How matrices are multiplied.
        n_steps: Steps an input is cut into.
    """

    def __init__(self, cell: Cell, products: Products, n_steps: int) -> None:
        super().__init__(cell)
        self._products, self._n_steps = products, n_steps
        self._saved: list[State] = []
        self._input = self._before = torch.empty(0)
        self._rooms = Rooms()

    def advance(self, parameters: Sequence[Tensor], x: Tensor, state: State) -> State:
        """Return the next state, given a step's inputs; no way back follows."""
        return self._step(parameters, self._contribution(parameters, x), state)[0]

    def forward(self, parameters: Sequence[Tensor], x: Tensor, *, is_last: bool) -> Tensor:
        """Return the outputs of all steps, or the last one: memory of their own."""
        n_lanes, n_rows, width = parameters[1].shape
        n_columns = x.shape[0 if x.dim() == 2 else 2]
        room = self._rooms.take("ax", x, (n_lanes, n_rows, n_columns))
        ax = self._contribution(parameters, x, room)
        batch = n_columns // self._n_steps
        state = self.beginning(parameters, batch)
        # dense memory: products of parts of a matrix may round by where the part stands
        before = self._rooms.take("before", x, (n_lanes, width, n_columns))
        outputs = None if is_last else self._rooms.take("outputs", x, before.shape)
        self._saved = []
        for step in range(self._n_steps):
            columns = slice(step * batch, (step + 1) * batch)
            before[:, :, columns].copy_(state[0])
            state, saved = self._step(parameters, ax[:, :, columns], state)
            self._saved.append(saved)
            if outputs is not None:
                outputs[:, :, columns].copy_(state[0])
        self._input, self._before = x, before
        return state[0] if outputs is None else outputs

    def backward(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        d: Tensor,
        *,
        is_first: bool,
    ) -> tuple[list[Tensor], Tensor | None]:
        """Return the gradients, and that of the input (None of the first layer)."""
        n_columns = self._before.shape[2]
        batch = n_columns // self._n_steps
        has_all = d.shape[2] == n_columns
        shape = (d.shape[0], parameters[0].shape[1], n_columns)
        d_ax = self._rooms.take("d_ax", d, shape)
        d_ah = self._rooms.take("d_ah", d, shape) if self._cell.has_own_recurrent_bias else d_ax
        zeros = d.new_zeros((d.shape[0], d.shape[1], batch))
        dh, rest = zeros, (zeros,) * (self._cell.n_states - 1)
        for step in reversed(range(self._n_steps)):
            at = step * batch
            if has_all:
                dh = dh + d[:, :, at : at + batch]
            elif step == self._n_steps - 1:
                dh = d
            for_ax, for_ah, before = self._cell.backward((dh, *rest), self._saved[step])
            d_ax[:, :, at : at + batch].copy_(for_ax)
            if self._cell.has_own_recurrent_bias:
                d_ah[:, :, at : at + batch].copy_(for_ah)
            dh = self._products.input_gradient(parameters[1], for_ah)
            dh, rest = self._through(dh, before)
        # gradients are written apart, also where two are equal: they are scaled in place later
        weight = self._products.weight_gradient(d_ax, self._input, gradients[0])
        recurrent = self._products.weight_gradient(d_ah, self._before, gradients[1])
        torch.sum(d_ax, 2, keepdim=True, out=gradients[2])
        if self._cell.has_own_recurrent_bias:
            torch.sum(d_ah, 2, keepdim=True, out=gradients[3])
        else:
            gradients[3].copy_(gradients[2])
        found = [weight, recurrent, *gradients[2:]]
        return found, None if is_first else self._products.input_gradient(parameters[0], d_ax)

    def forget(self) -> None:
        """Let go of all memory."""
        self._saved, self._rooms = [], Rooms()
        self._input = self._before = torch.empty(0)

    def _step(self, parameters: Sequence[Tensor], ax: Tensor, state: State) -> tuple[State, State]:
        """Return the next state, and what the way back needs."""
        _, weight, _, bias = parameters
        ah = self._products.forward(weight, state[0])
        if self._cell.has_own_recurrent_bias:
            ah.add_(bias)
        return self._cell.forward(ax, ah, state)

    def _contribution(
        self, parameters: Sequence[Tensor], x: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """Return what inputs contribute to the gates, ``[lanes, gates, columns]``."""
        weight, _, bias, recurrent = parameters
        if not self._cell.has_own_recurrent_bias:
            bias = bias + recurrent
        return self._products.forward(weight, x, out).add_(bias)

    def _through(self, dh: Tensor, before: State) -> tuple[Tensor, State]:
        """Return the gradients of output and rest of the state, those around the gates added."""
        if self._cell.n_states > 1:  # the output reaches the next step by the gates alone
            return dh, before
        return (dh.add_(before[0]) if before else dh), ()
