"""How a process that trains computes: set once, when it starts."""

import ctypes
import gc

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's numbers
_KEPT_BYTES = 1 << 30  # freed memory the process keeps: more than a step of any pack frees
_LARGEST_BYTES = 32 << 20  # the most glibc allows; larger pieces always come from the system


def settle_process(device: str) -> None:
    """Compute in one thread on a CPU, and take numbers next to zero for zero.

    One pinned, single-threaded trainer per core is the fastest way to use several cores: small
    products leave nothing to share, and threads that wait for one another lose whenever another
    process has a core. One thread is also what makes results the same to the last bit.
    Denormal numbers are a hundred times as slow as others on some CPUs. Memory that one step
    frees is kept for the next: the system would have to fill it with zeros again.

    To be called when everything is imported.

    Args:
        device: ``cpu`` or ``cuda:0``.
    """
    if device == "cpu":
        torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    # what is here now stays: looking through it for garbage took a tenth of small steps
    gc.collect()
    gc.freeze()


def _keep_freed_memory() -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
