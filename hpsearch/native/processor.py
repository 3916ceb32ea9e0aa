"""What the processor at hand computes with, as far as kernels of our own make use of it."""

from dataclasses import dataclass
from functools import cache

from hpsearch.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor that kernels are made for.

    Attributes:
        vector_bytes: Of a vector register.
        n_registers: Vector registers there are.
        has_pairs: Whether it multiplies pairs of bfloat16 numbers and adds them up in float32.
        has_tiles: Whether it multiplies matrices of such numbers, which is faster still.
        name: Of its kind, for the compiler.
        features: What else the compiler may use, in its own notation.
    """

    vector_bytes: int
    n_registers: int
    has_pairs: bool
    has_tiles: bool
    name: str
    features: str


@cache
def processor() -> Processor | None:
    """Return the processor at hand, or None where plain torch is to do without kernels.

    Kernels are made for x86 with AVX-512, or AVX2 and FMA. One of them is tried first.
    """
    from hpsearch.native.check import computes

    try:
        from llvmlite import binding

        # its library is loaded at the first call
        name, features = binding.get_host_cpu_name(), dict(binding.get_host_cpu_features())
    except (ImportError, OSError) as error:
        log.info("no_llvm", reason=str(error)[:200], then="plain torch does without kernels")
        return None
    found = processor_of(name, features)
    return found if found is not None and computes(found) else None


def processor_of(name: str, has: dict[str, bool]) -> Processor | None:
    """Return a processor of this kind with these features, if kernels are made for it."""
    is_wide = all(has.get(feature) for feature in ("avx512f", "avx512vl", "avx512bw", "avx512dq"))
    if not (is_wide or (has.get("avx2") and has.get("fma"))):
        return None
    return Processor(
        vector_bytes=64 if is_wide else 32,
        n_registers=32 if is_wide else 16,
        has_pairs=is_wide and bool(has.get("avx512bf16")),
        has_tiles=bool(has.get("amx-tile") and has.get("amx-bf16")),
        name=name,
        features=",".join(f"{'+' if there else '-'}{feature}" for feature, there in has.items()),
    )
