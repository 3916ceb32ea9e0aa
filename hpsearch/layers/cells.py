"""The cells of recurrent networks over lanes: torch.nn's equations, one step at a time.

A cell is given what its input contributes to the gates (``ax``, biases included as torch adds
them) and what its last output contributes (``ah``), and returns its next output. Gates stand in
torch's order, one block of rows each. Padding needs no mask: zero weights keep an output zero.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from hpsearch.layers.activations import Activation, Tanh, sigmoid_

State = tuple[Tensor, ...]
"""What a cell hands from step to step, ``[lanes, hidden, batch]`` each; its output first."""


class Cell(ABC):
    """One step forward, one step back.

    Class attributes:
        n_gates: Blocks of rows in its weights.
        n_states: Tensors handed from step to step.
        has_own_recurrent_bias: Whether the last output's bias cannot be added to the input's.

    Attributes:
        flat_ends: The values its outputs flatten towards, if there are two.
    """

    n_gates: ClassVar[int]
    n_states: ClassVar[int] = 1
    has_own_recurrent_bias: ClassVar[bool] = False
    flat_ends: tuple[float, float] | None = (-1.0, 1.0)

    @abstractmethod
    def forward(self, ax: Tensor, ah: Tensor, state: State) -> tuple[State, State]:
        """Return the next state, and what :meth:`backward` needs; ``ah`` may be overwritten."""

    @abstractmethod
    def backward(self, d: State, saved: State) -> tuple[Tensor, Tensor, State]:
        """Return the gradients of ``ax`` and ``ah``, and those of the state before.

        The gradient of the state before lacks what comes through ``ah``. ``d`` are the
        gradients of the state after; they may be overwritten.
        """


class Vanilla(Cell):
    """h' = f(ax + ah).

    Args:
        activation: f, tanh or relu.

    Attributes:
        activation: The same.
    """

    n_gates = 1

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self.flat_ends = activation.flat_ends

    def forward(self, ax: Tensor, ah: Tensor, state: State) -> tuple[State, State]:  # noqa: ARG002 - the interface
        """Return the output; it tells the derivative."""
        h, saved = self.activation.forward(ah.add_(ax))
        return (h,), (saved,)

    def backward(self, d: State, saved: State) -> tuple[Tensor, Tensor, State]:
        """Multiply by the derivative of f."""
        gradient = self.activation.backward(d[0], saved[0])
        return gradient, gradient, ()


class Gru(Cell):
    """r, z = σ(ax + ah); n = tanh(ax + r·ah); h' = n + z (h - n)."""

    n_gates = 3
    has_own_recurrent_bias = True

    def forward(self, ax: Tensor, ah: Tensor, state: State) -> tuple[State, State]:
        """Return the output."""
        hidden = state[0].shape[1]
        gates = sigmoid_(ax[:, : 2 * hidden] + ah[:, : 2 * hidden])
        r, z = gates[:, :hidden], gates[:, hidden:]
        own = ah[:, 2 * hidden :]
        n = torch.addcmul(ax[:, 2 * hidden :], r, own).tanh_()
        h = torch.addcmul(n, z, state[0] - n)
        return (h,), (state[0], gates, n, own)

    def backward(self, d: State, saved: State) -> tuple[Tensor, Tensor, State]:
        """Go back through the update, then through the two gates."""
        before, gates, n, own = saved
        hidden = before.shape[1]
        r, z = gates[:, :hidden], gates[:, hidden:]
        dh = d[0]
        dn = torch.ops.aten.tanh_backward(dh - dh * z, n)
        d_gates = torch.cat((dn * own, dh * (before - n)), 1)
        d_gates = torch.ops.aten.sigmoid_backward(d_gates, gates)
        return torch.cat((d_gates, dn), 1), torch.cat((d_gates, dn * r), 1), (dh * z,)


class Lstm(Cell):
    """i, f, o = σ(ax + ah); g = tanh(ax + ah); c' = f·c + i·g; h' = o·tanh(c')."""

    n_gates = 4
    n_states = 2

    def forward(self, ax: Tensor, ah: Tensor, state: State) -> tuple[State, State]:
        """Return the output and the cell's memory."""
        h, c = state
        hidden = h.shape[1]
        a = ah.add_(ax)
        sigmoid_(a[:, : 2 * hidden])
        a[:, 2 * hidden : 3 * hidden].tanh_()
        sigmoid_(a[:, 3 * hidden :])
        i, f, g, o = a.chunk(4, 1)
        memory = torch.addcmul(f * c, i, g)
        shown = memory.tanh()
        return (o * shown, memory), (a, c, shown)

    def backward(self, d: State, saved: State) -> tuple[Tensor, Tensor, State]:
        """Go back through the memory, then through the four gates."""
        a, c, shown = saved
        dh, dc = d
        i, f, g, o = a.chunk(4, 1)
        dc = dc + torch.ops.aten.tanh_backward(dh * o, shown)
        backward_of = torch.ops.aten.sigmoid_backward
        gradient = torch.cat(
            (
                backward_of(dc * g, i),
                backward_of(dc * c, f),
                torch.ops.aten.tanh_backward(dc * i, g),
                backward_of(dh * shown, o),
            ),
            1,
        )
        return gradient, gradient, (dc * f,)


def cell(name: str, activation: Activation | None = None) -> Cell:
    """Return the cell of that name; the activation is vanilla's alone."""
    if name == "vanilla":
        return Vanilla(activation or Tanh())
    return {"gru": Gru, "lstm": Lstm}[name]()
