"""Triton kernels run by Triton's interpreter, on a CPU."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

CELLS = tuple(  # in the order in which they import each other
    f"hpsearch.layers.kernels.{part}" for part in ("cell_parts", "vanilla", "gru", "lstm", "cells")
)


class Counted(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's
    """Counts what would be kernels on a GPU: views and memory are none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's
        self.n: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.n += not (func.is_view or func.overloadpacket.__name__.startswith(("empty", "new_")))
        return func(*args, **(kwargs or {}))


@contextmanager
def interpreted(*names: str) -> Iterator[list[ModuleType]]:
    """Yield modules whose kernels are interpreted; what decorates a kernel decides how it runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        yield _again(names)
    _again(names)


def _again(names: tuple[str, ...]) -> list[ModuleType]:
    """Import modules again, after those functions of Triton that are kernels themselves."""
    import triton.language
    import triton.language.standard as own

    importlib.reload(own)
    for name, value in vars(own).items():
        if hasattr(value, "fn") and hasattr(triton.language, name):
            setattr(triton.language, name, value)
    return [importlib.reload(importlib.import_module(name)) for name in names]


def as_operation(launch: Callable[..., None]) -> Callable[..., None]:
    """Return a launch that modes of torch see, as they see torch's own operations.

    Args:
        launch: Takes a kernel, the shape and batch of its grid, the tensors, and anything else.
    """

    def launched(
        kernel: Any,
        shape: Any,
        batch: int,
        tensors: Sequence[Tensor],
        *rest: Any,
        **constants: Any,
    ) -> None:
        _LAUNCHES.append(lambda own: launch(kernel, shape, batch, own, *rest, **constants))
        _launch(list(tensors), len(_LAUNCHES) - 1)

    return launched


_LAUNCHES: list[Callable[[list[Tensor]], None]] = []


@torch.library.custom_op("hpsearch_tests::launch", mutates_args=("tensors",))
def _launch(tensors: list[Tensor], number: int) -> None:
    _LAUNCHES[number](tensors)
