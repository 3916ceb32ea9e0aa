"""Kernels as functions of this process: written, compiled and kept when first asked for."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import binding, ir

from hpsearch.native.kernels import ARGUMENTS, write
from hpsearch.native.processor import Processor
from hpsearch.native.tiles import shape_of

_OPTIMISE = 3

Kernel = Callable[..., None]
"""Takes the kernel's arguments, whole numbers, in their order."""


@cache
def kernel(
    processor: Processor, name: str, dtype: str, *, is_paired: bool, variant: str = ""
) -> Kernel:
    """Return a kernel for a processor, which has to be the one at hand to call it.

    Args:
        processor: What it is made for.
        name: One of :data:`hpsearch.native.kernels.ARGUMENTS`.
        dtype: ``float32`` or ``float64``.
        is_paired: Whether products are worked out in bfloat16.
        variant: As :func:`hpsearch.native.kernels.write` takes it.

    Cost: 0.05-0.3 s at the first call.
    """
    module = ir.Module(name)
    write(module, name, shape_of(processor, dtype, is_paired=is_paired), variant)
    engine = _compiled(str(module), processor)
    _KEPT.append(engine)
    address = engine.get_function_address(name)
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(ARGUMENTS[name]))(address)


_KEPT: list[Any] = []  # engines own the code of their kernels


def _compiled(text: str, processor: Processor) -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=processor.name, features=processor.features, opt=_OPTIMISE
    )
    module = binding.parse_assembly(text)
    module.verify()
    tuning = binding.create_pipeline_tuning_options(speed_level=_OPTIMISE)
    builder = binding.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine
