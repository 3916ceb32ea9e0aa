"""Whether kernels compute what they should: asked once, before anything rests on them."""

import numpy as np

from hpsearch.logs import get_logger
from hpsearch.native.processor import Processor

_SIZES = (2, 5, 9, 50)  # lanes, batch, outputs, inputs: no multiples of anything
_PRECISE = 1e-5

log = get_logger(__name__)


def computes(processor: Processor) -> bool:
    """Return whether a kernel made for the processor at hand runs and is right; warn if not.

    Its code may be refused by the system (which may forbid memory to be written and run), and what
    a processor says about itself may be wrong in a virtual machine.
    """
    try:
        error = _error(processor)
    except Exception as failure:  # of the compiler, the loader, the memory
        log.warning(
            "no_kernels", reason=str(failure)[:200], then="plain torch does without kernels"
        )
        return False
    if not error <= _PRECISE:
        log.warning("no_kernels", error=error, then="plain torch does without kernels")
        return False
    return True


def _error(processor: Processor) -> float:
    """Return by how much a layer's outputs are wrong."""
    from hpsearch.native.kernels import scratch_bytes
    from hpsearch.native.library import ALIGNMENT, aligned, kernel

    lanes, batch, outputs, inputs = _SIZES
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((lanes, outputs, inputs)).astype(np.float32)
    bias = rng.standard_normal((lanes, outputs)).astype(np.float32)
    x = rng.standard_normal((batch, inputs)).astype(np.float32)
    z = np.full((lanes, batch, outputs), np.nan, np.float32)
    scratch = np.zeros(scratch_bytes(batch, outputs, inputs) + ALIGNMENT, np.uint8)
    kernel(processor, "affine", "float32", variant="none")(
        *_SIZES,
        weight.ctypes.data,
        bias.ctypes.data,
        x.ctypes.data,
        0,
        x.strides[0],
        z.ctypes.data,
        aligned(scratch.ctypes.data),
    )
    wanted = np.einsum("koi,bi->kbo", weight.astype(np.float64), x) + bias[:, None]
    return float(np.abs(z - wanted).max() / np.abs(wanted).max())
