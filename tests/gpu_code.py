"""Triton kernels made into machine code for GPUs that need not be there, and what it needs.

Triton brings NVIDIA's assembler along, so a kernel that cannot be compiled, spills its numbers to
memory or reads them one by one is found on any machine.
"""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAPABILITIES = (80, 90)  # A100, H100: the oldest and the newest in wide use
_WARP = 32


@dataclass(frozen=True, slots=True)
class GpuCode:
    """What became of a kernel.

    Attributes:
        registers: Of each thread; beyond 64, fewer than half of the threads fit a processor.
        stack_bytes: Of each thread, in slow memory; 0 if nothing was spilled.
        widest_load: Numbers one instruction reads at most.
    """

    registers: int
    stack_bytes: int
    widest_load: int


def gpu_code(
    kernel: Any, kinds: Mapping[str, str], constants: Mapping[str, object], capability: int
) -> GpuCode:
    """Compile a kernel as a launch with tensors of 16 aligned bytes does.

    Args:
        kernel: Decorated with ``triton.jit``, outside the interpreter.
        kinds: Of its arguments that are no constants: ``*fp32``, ``*i64``, ``i32`` and so on.
        constants: Its ``tl.constexpr`` arguments.
        capability: Of the GPU, times ten.

    Raises:
        triton.CompilationError: It is no valid kernel.
    """
    import triton  # not found on every platform
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names: list[str] = kernel.arg_names
    signature = {name: kinds.get(name, "constexpr") for name in names}
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in kinds},
    )
    asm = triton.compile(source, target=GPUTarget("cuda", capability, _WARP)).asm
    dump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [dump, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    widths = [int(w or 1) for w in re.findall(r"ld\.global(?:\.v(\d))?", asm["ptx"])]
    return GpuCode(
        registers=_number("REG", usage),
        stack_bytes=_number("STACK", usage) + _number("LOCAL", usage.partition("Function")[2]),
        widest_load=max(widths),
    )


def _number(name: str, usage: str) -> int:
    found = re.search(rf"\b{name}:(\d+)", usage)
    assert found is not None, usage
    return int(found[1])
