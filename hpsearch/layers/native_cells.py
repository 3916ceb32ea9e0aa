"""One recurrent layer over lanes by kernels made for this processor, forward and back."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpsearch.layers.native_kernels import LayerKernels
from hpsearch.layers.recurrent_layer import Rooms
from hpsearch.native.cells import EVERY, cell_scratch_bytes
from hpsearch.native.library import ALIGNMENT, aligned, launch
from hpsearch.native.processor import Processor

_LINE = 64  # bytes: of the cache


class NativeCells:
    """All steps of a layer in a call.

    Inputs and outputs of a sequence are ``[lanes, features, batch · steps]``, the steps of an
    example side by side; in memory features are. Inputs that all lanes share are ``[batch ·
    steps, features]``.

    Args:
        processor: The one at hand.
        cell: One of :data:`hpsearch.native.cells.N_GATES`.
        n_steps: Steps an input is cut into.
        is_exact: Whether products must not be rounded to bfloat16.
    """

    def __init__(self, processor: Processor, cell: str, n_steps: int, *, is_exact: bool) -> None:
        self._cell, self._n_steps = cell, n_steps
        self._kernels = LayerKernels(processor, is_exact=is_exact)
        self._rooms = Rooms()
        self._kept: dict[str, Tensor] = {}

    def forward(self, parameters: Sequence[Tensor], x: Tensor, *, is_last: bool) -> Tensor:
        """Return the outputs of all steps, or of the last one, ``[lanes, hidden, batch]``.

        Args:
            parameters: Of this layer.
            x: Inputs of all steps.
            is_last: Whether only the last step's output is wanted.
        """
        n_lanes, _, hidden = parameters[1].shape
        n = x.shape[0 if x.dim() == 2 else 2]
        sizes = {"before": hidden}
        if self._cell in ("gru", "lstm"):
            sizes["memory"] = hidden
        if self._cell == "lstm":
            sizes["shown"] = hidden
        if not is_last:
            sizes["out"] = hidden
        like = parameters[1]
        self._kept = {
            name: self._rooms.take(name, like, (n_lanes, n, size)) for name, size in sizes.items()
        }
        self._kept["gates"] = self._of_gates("gates", like, n)
        last = self._rooms.take("last", like, (n_lanes, n // self._n_steps, hidden))
        self._run(parameters, x, last, self._kept)
        return (last if is_last else self._kept["out"]).transpose(1, 2)

    def evaluate(self, parameters: Sequence[Tensor], x: Tensor, *, is_last: bool) -> Tensor:
        """Return what :meth:`forward` does, in memory of its own; no way back follows."""
        n_lanes, _, hidden = parameters[1].shape
        n = x.shape[0 if x.dim() == 2 else 2]
        last = x.new_empty((n_lanes, n // self._n_steps, hidden))
        kept = {} if is_last else {"out": x.new_empty((n_lanes, n, hidden))}
        self._run(parameters, x, last, kept)
        return (last if is_last else kept["out"]).transpose(1, 2)

    def backward(self, parameters: Sequence[Tensor], d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of what inputs and outputs before contributed, and the latter.

        ``[lanes, features, batch · steps]`` each.

        Args:
            parameters: Of this layer.
            d: Gradient of the outputs of all steps, or of the last one alone.
        """
        weight = parameters[1]
        n_lanes, rows, hidden = weight.shape
        gates = self._kept["gates"]
        has_all = d.shape[2] == gates.shape[1] and "out" in self._kept
        slopes = d.transpose(1, 2).contiguous()
        d_ah = gates
        if self._cell == "gru":
            d_ah = self._of_gates("d_ah", weight, gates.shape[1])
        scratch = self._scratch(parameters, gates.shape[1])
        arguments = (
            n_lanes,
            gates.shape[1] // self._n_steps,
            self._n_steps,
            hidden,
            rows,
            weight.data_ptr(),
            gates.data_ptr(),
            gates.stride(1) * gates.element_size(),
            *(_address(self._kept, name) for name in ("before", "memory", "shown")),
            slopes.data_ptr(),
            slopes.stride(0) * slopes.element_size(),
            d_ah.data_ptr() if self._cell == "gru" else 0,
            aligned(scratch.data_ptr()),
        )
        variant = f"{self._cell}{EVERY}" if has_all else self._cell
        kept = (weight, self._kept, slopes, d_ah, scratch)
        launch(self._kernels.of("cell_backward", parameters[:2], variant), arguments, kept)
        before = self._kept["before"]
        return gates.transpose(1, 2), d_ah.transpose(1, 2), before.transpose(1, 2)

    def forget(self) -> None:
        """Let go of all memory."""
        self._rooms, self._kept = Rooms(), {}

    def _run(
        self, parameters: Sequence[Tensor], x: Tensor, last: Tensor, kept: dict[str, Tensor]
    ) -> None:
        n_lanes, rows, hidden = parameters[1].shape
        inputs = parameters[0].shape[2]
        steps = (x if x.dim() == 2 else x.transpose(1, 2)).contiguous()
        size = x.element_size()
        scratch = self._scratch(parameters, steps.shape[-2])
        arguments = (
            n_lanes,
            steps.shape[-2] // self._n_steps,
            self._n_steps,
            hidden,
            rows,
            inputs,
            *(parameter.data_ptr() for parameter in parameters),
            steps.data_ptr(),
            0 if steps.dim() == 2 else steps.stride(0) * size,
            inputs * size,
            _address(kept, "gates"),
            kept["gates"].stride(1) * size if "gates" in kept else 0,
            *(_address(kept, name) for name in ("before", "memory", "shown", "out")),
            last.data_ptr(),
            aligned(scratch.data_ptr()),
        )
        memory = (parameters, steps, kept, last, scratch)
        launch(self._kernels.of("cell_forward", parameters[:2], self._cell), arguments, memory)

    def _of_gates(self, name: str, weight: Tensor, n: int) -> Tensor:
        """Return memory for all gates, row by row.

        From one row to the next it is an odd number of lines of the cache: columns of rows that
        are a power of two apart drive each other out.
        """
        n_lanes, rows, _ = weight.shape
        a_line = _LINE // weight.element_size()
        wide = (-(-rows // a_line) | 1) * a_line
        return self._rooms.take(name, weight, (n_lanes, n, wide))[:, :, :rows]

    def _scratch(self, parameters: Sequence[Tensor], n: int) -> Tensor:
        _, _, hidden = parameters[1].shape
        wanted = cell_scratch_bytes(n // self._n_steps, hidden, parameters[0].shape[2])
        like = torch.empty(0, dtype=torch.uint8)
        return self._rooms.take("scratch", like, (wanted + ALIGNMENT,))


def _address(kept: dict[str, Tensor], name: str) -> int:
    return kept[name].data_ptr() if name in kept else 0
