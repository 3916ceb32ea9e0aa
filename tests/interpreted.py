"""Triton kernels run by Triton's interpreter, on a CPU."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest


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
