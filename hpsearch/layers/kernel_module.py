"""Modules of Triton kernels, where Triton is to be had: it comes with torch on GPU machines."""

from functools import cache
from importlib import import_module
from types import ModuleType

from hpsearch.logs import get_logger

log = get_logger(__name__)


@cache
def kernel_module(name: str, device: str) -> ModuleType | None:
    """Return a module that imports Triton; None where it is not to be had, or of no use.

    Args:
        name: Of the module.
        device: ``cuda`` or another.
    """
    if device != "cuda":
        return None
    try:
        return import_module(name)
    except ImportError as error:
        log.warning("no_triton", module=name, reason=str(error)[:200], then="plain torch instead")
        return None
