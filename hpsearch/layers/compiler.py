"""Whether kernels of our own can be compiled here."""

from functools import cache

from hpsearch.logs import get_logger

log = get_logger(__name__)


def has_kernels(device: str) -> bool:
    """Return whether our own kernels run on this kind of device, ``cuda`` or another."""
    return device == "cuda" and has_triton()


@cache
def has_triton() -> bool:
    """Return whether Triton can start kernels on this machine's GPUs; warn if not.

    It comes with torch where there are GPUs, but compiles what starts kernels on the spot, with
    the machine's C compiler and Python's headers; either may be missing.
    """
    try:
        from triton.runtime import driver

        _ = driver.active  # the first look at it compiles
    except Exception as error:  # of the import, the compiler, the linker, the folder it writes to
        log.warning("no_triton", reason=str(error)[:200], then="plain torch does without kernels")
        return False
    return True
