"""Kernels as functions of this process: written, compiled and kept when first asked for."""

import ctypes
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from hpsearch.native.processor import Processor
from hpsearch.native.tape import Tape

# llvmlite is not installed everywhere: what needs it is imported where a kernel is made
_OPTIMISE = 2
ALIGNMENT = 64
"""Bytes: scratch memory of kernels begins at a multiple, so that much more of it is needed."""


def aligned(address: int) -> int:
    """Return the next address at which scratch memory may begin."""
    return -(-address // ALIGNMENT) * ALIGNMENT


class Kernel:
    """A function in machine code.

    Args:
        engine: Owns its code.
        name: Of it.
        names: Of its arguments, in order.

    Attributes:
        name: As above.
        names: As above.
        address: Of its code.
    """

    def __init__(self, engine: Any, name: str, names: tuple[str, ...]) -> None:
        self.name, self.names = name, names
        self.address = int(engine.get_function_address(name))
        self._engine = engine
        self._function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.address)
        self._array = ctypes.c_int64 * len(self.names)

    def __call__(self, *arguments: int) -> None:
        """Run it; arguments are whole numbers. The interpreter is free meanwhile."""
        self._function(self._array(*arguments))


def launch(kernel: Kernel, arguments: Sequence[int], kept: Sequence[Any] = ()) -> None:
    """Run a kernel, and note the call if a tape is being recorded.

    Args:
        kernel: Which.
        arguments: For it.
        kept: What these are addresses of: a tape keeps it.
    """
    kernel(*arguments)
    tape = _tape.get()
    if tape is not None:
        by_name = dict(zip(kernel.names, arguments, strict=True))
        tape.note(kernel.name, kernel.address, by_name, kept)


@contextmanager
def recording(tape: Tape) -> Iterator[None]:
    """Note on a tape what is launched inside."""
    token = _tape.set(tape)
    try:
        yield
    finally:
        _tape.reset(token)


_tape: ContextVar[Tape | None] = ContextVar("tape", default=None)


@cache
def kernel(
    processor: Processor, name: str, dtype: str, *, is_paired: bool = False, variant: str = ""
) -> Kernel:
    """Return a kernel for a processor, which has to be the one at hand to call it.

    Args:
        processor: What it is made for.
        name: One of :data:`hpsearch.native.kernels.ARGUMENTS`.
        dtype: ``float32`` or ``float64``.
        is_paired: Whether products are worked out in bfloat16.
        variant: As :func:`hpsearch.native.kernels.write` takes it.

    Cost: 0.02-0.15 s at the first call.
    """
    from llvmlite import ir

    from hpsearch.native.kernels import ARGUMENTS, write
    from hpsearch.native.tiles import shape_of

    with _no_collection():
        module = ir.Module(name)
        write(module, name, shape_of(processor, dtype, is_paired=is_paired), variant)
        return Kernel(_compiled(str(module), processor), name, ARGUMENTS[name])


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector away: thousands of small objects call it, all of them needed."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _compiled(text: str, processor: Processor) -> Any:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=processor.name, features=processor.features, opt=_OPTIMISE
    )
    module = binding.parse_assembly(text)
    module.verify()
    tuning = binding.create_pipeline_tuning_options(speed_level=_OPTIMISE)
    # kernels are written in vectors and in long loop bodies: nothing is left to gain by these
    tuning.loop_unrolling = tuning.loop_interleaving = False
    tuning.loop_vectorization = tuning.slp_vectorization = False
    builder = binding.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine
