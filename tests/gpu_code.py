"""Triton kernels made into machine code for GPUs that need not be there, and what it needs.

Triton brings NVIDIA's assembler along, so a kernel that cannot be compiled, spills its numbers to
memory or reads them one by one is found on any machine.
"""

import multiprocessing
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

CAPABILITIES = (80, 90)  # A100, H100: the oldest and the newest in wide use
_WARP = 32


@dataclass(frozen=True, slots=True)
class GpuCode:
    """What became of a kernel.

    Attributes:
        registers: Of each thread; beyond 64, fewer than half of the threads fit a processor.
        stack_bytes: Of each thread, in slow memory; 0 if nothing was spilled.
        widest_load: Bytes one instruction reads at most; 16 is the most there is.
    """

    registers: int
    stack_bytes: int
    widest_load: int


def gpu_code(
    kernel: Any, kinds: Mapping[str, str], constants: Mapping[str, object], capability: int
) -> GpuCode:
    """Compile a kernel as a launch with tensors of 16 aligned bytes does.

    It is done in a process of its own: in one that interprets kernels, Triton compiles no more.

    Args:
        kernel: Decorated with ``triton.jit``, a name of its module.
        kinds: Of its arguments that are no constants: ``*fp32``, ``*i64``, ``i32`` and so on.
        constants: Its ``tl.constexpr`` arguments.
        capability: Of the GPU, times ten.

    Raises:
        RuntimeError: It is no valid kernel.
    """
    plain = kernel.fn
    where = (plain.__module__, plain.__name__)
    return _compiler().submit(_compiled, *where, dict(kinds), dict(constants), capability).result()


@cache
def _compiler() -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=_never_interpret)


def _never_interpret() -> None:
    os.environ.pop("TRITON_INTERPRET", None)  # noqa: TID251 - before Triton is imported


def _compiled(
    module: str, name: str, kinds: dict[str, str], constants: dict[str, object], capability: int
) -> GpuCode:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(import_module(module), name)
    names: list[str] = kernel.arg_names
    source = ASTSource(
        fn=kernel,
        signature={name: kinds.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={
            (param.num,): [["tt.divisibility", 16]]
            for param in kernel.params
            if param.name in kinds and not param.do_not_specialize
        },
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", folder)
        try:
            asm = triton.compile(source, target=GPUTarget("cuda", capability, _WARP)).asm
        except triton.CompilationError as error:  # it cannot be sent to another process
            raise RuntimeError(f"{module}.{name}: {error}") from None
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(asm["cubin"])
        dump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        usage = subprocess.run(
            [dump, "--dump-resource-usage", cubin], capture_output=True, text=True, check=True
        ).stdout
    loads = re.findall(r"ld\.global(?:\.v(\d))?\.b(\d+)", asm["ptx"])
    return GpuCode(
        registers=_number("REG", usage),
        stack_bytes=_number("STACK", usage) + _number("LOCAL", usage.partition("Function")[2]),
        widest_load=max(int(n or 1) * int(bits) // 8 for n, bits in loads),
    )


def _number(name: str, usage: str) -> int:
    found = re.search(rf"\b{name}:(\d+)", usage)
    assert found is not None, usage
    return int(found[1])
