"""Whether kernels of our own can be compiled here."""

from functools import cache

from hpsearch.logs import get_logger

log = get_logger(__name__)


def has_kernels(device: str) -> bool:
    """Return whether our own kernels run on this kind of device, ``cuda`` or another."""
    return device == "cuda" and has_triton()


@cache
def has_triton() -> bool:
    """Return whether there is Triton, which comes with torch where there are GPUs; warn if not."""
    try:
        import triton.language  # noqa: F401 - the import is the question
    except ImportError as error:
        log.warning("no_triton", reason=str(error)[:200], then="plain torch does without kernels")
        return False
    return True
