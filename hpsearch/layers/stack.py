"""One tensor per parameter for all lanes: rows are put in, taken out, moved."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from hpsearch.errors import ShapeError

Shapes = Mapping[str, tuple[int, ...]]
"""Parameter names of a plain ``torch.nn`` network with their shapes, in its own order."""


def fits(inner: tuple[int, ...], outer: tuple[int, ...]) -> bool:
    """Whether an array of shape ``inner`` has a place in the corner of one of shape ``outer``."""
    return len(inner) == len(outer) and all(a <= b for a, b in zip(inner, outer, strict=True))


class Stack:
    """Named parameters of several lanes, ``[lanes, ...]`` each; live lanes are the front rows.

    A vector is kept as a column, ``[lanes, size, 1]``, so that it adds to feature-major
    activations. A lane narrower than the stack stands in the corner of its row, zeros behind it.

    A parameter whose first axis holds several blocks of the same size (the gates of a recurrent
    cell) is padded block by block, so that a gate begins at the same place in every lane.

    Args:
        shapes: Shape of each parameter of the widest lane.
        n_rows: Lanes there is room for.
        dtype: Of every tensor.
        device: Of every tensor.
        blocks: Blocks of the first axis, for those parameters that have more than one.
    """

    def __init__(
        self,
        shapes: Shapes,
        n_rows: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
        blocks: Mapping[str, int] | None = None,
    ) -> None:
        self.shapes = dict(shapes)
        self.n_rows = n_rows
        self._blocks = dict(blocks or {})
        self.tensors: tuple[Tensor, ...] = tuple(
            torch.zeros((n_rows, *_stored(shape)), dtype=dtype, device=device)
            for shape in self.shapes.values()
        )
        # the same memory: a row is filled in half the time by numpy, whose calls start sooner
        on_host = device.type == "cpu"
        self._rows: tuple[Any, ...] = (
            tuple(tensor.numpy() for tensor in self.tensors) if on_host else self.tensors
        )

    def like(self, n_rows: int | None = None, n_first: int | None = None) -> Self:
        """Return a stack of zeros of the same shapes, or of the first ``n_first`` of them."""
        first = self.tensors[0]
        return type(self)(
            dict(list(self.shapes.items())[:n_first]),
            self.n_rows if n_rows is None else n_rows,
            dtype=first.dtype,
            device=first.device,
            blocks=self._blocks,
        )

    def front(self, n_lanes: int) -> tuple[Tensor, ...]:
        """Return views of the first ``n_lanes`` rows."""
        return tuple(tensor[:n_lanes] for tensor in self.tensors)

    def row(self, lane: int) -> tuple[Tensor, ...]:
        """Return views of one row, with a lane axis of one."""
        return tuple(tensor[lane : lane + 1] for tensor in self.tensors)

    def put(self, lane: int, arrays: Mapping[str, Any]) -> None:
        """Fill a row; zeros around a narrower lane, by assignment: by multiplying, NaN would stay.

        Raises:
            ShapeError: A parameter is missing or does not fit.
        """
        with np.errstate(over="ignore"):  # as torch does: infinite is the lane's affair
            for (name, shape), rows in zip(self.shapes.items(), self._rows, strict=True):
                array = arrays.get(name)
                part = rows[lane, ...]
                if array is None or array.shape != shape:
                    if array is None or not fits(array.shape, shape):
                        got = None if array is None else tuple(array.shape)
                        raise ShapeError(f"parameter {name!r} should fit into {shape}, got {got}")
                    part[...] = 0
                    part = self._part(name, part, tuple(array.shape))
                if isinstance(part, np.ndarray):
                    part[...] = array.reshape(part.shape)
                else:
                    part.copy_(torch.from_numpy(np.ascontiguousarray(array)).view(part.shape))

    def clear(self, lane: int) -> None:
        """Fill a row with zeros, by assignment."""
        for rows in self._rows:
            rows[lane, ...] = 0

    def take(self, lane: int, shapes: Shapes) -> dict[str, Any]:
        """Return one lane's parameters, un-padded, as numpy arrays of their own."""
        return {
            name: self._part(name, tensor[lane], shapes[name])
            .to("cpu", copy=True)
            .contiguous()
            .view(shapes[name])
            .numpy()
            for name, tensor in zip(self.shapes, self.tensors, strict=True)
        }

    def copy_rows(self, source: "Stack", n_lanes: int) -> None:
        """Copy the first rows of another stack of the same shapes."""
        for mine, theirs in zip(self.tensors, source.tensors, strict=True):
            mine[:n_lanes].copy_(theirs[:n_lanes])

    def copy_row(self, source: "Stack", lane: int) -> None:
        """Copy one row of another stack of the same shapes."""
        for mine, theirs in zip(self.tensors, source.tensors, strict=True):
            mine[lane].copy_(theirs[lane])

    def move(self, source: int, target: int) -> None:
        """Overwrite row ``target`` with row ``source``."""
        for tensor in self.tensors:
            tensor[target].copy_(tensor[source])

    def _part(self, name: str, row: Any, shape: Sequence[int]) -> Any:
        """Return the place of a lane's parameter of this shape, one axis more if in blocks."""
        n_blocks = self._blocks.get(name, 1)
        if n_blocks == 1:
            return _corner(row, shape)
        blocks = row.reshape(n_blocks, -1, *row.shape[1:])
        return _corner(blocks, (n_blocks, shape[0] // n_blocks, *shape[1:]))


def grown(stack: Stack, n_rows: int, n_lanes: int) -> Stack:
    """Return a stack with room for ``n_rows``, the first ``n_lanes`` copied."""
    larger = stack.like(n_rows)
    larger.copy_rows(stack, n_lanes)
    return larger


def _stored(shape: Sequence[int]) -> tuple[int, ...]:
    return (*shape, 1) if len(shape) == 1 else tuple(shape)


def _corner(row: Any, shape: Sequence[int]) -> Any:
    return row[(*(slice(size) for size in shape), ...)]
