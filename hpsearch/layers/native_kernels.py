"""The kernels that layers and steps call, by torch's names of types."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpsearch.layers.products import may_round
from hpsearch.native.library import Kernel, kernel
from hpsearch.native.processor import Processor

_LEAST_SIDE = 16  # outputs and inputs of a layer whose products may be rounded: not a few classes


def kernel_of(
    processor: Processor,
    name: str,
    dtype: torch.dtype,
    *,
    is_paired: bool = False,
    variant: str = "",
) -> Kernel:
    """Return a kernel for numbers of a type; else as :func:`hpsearch.native.library.kernel`."""
    its_name = str(dtype).removeprefix("torch.")
    return kernel(processor, name, its_name, is_paired=is_paired, variant=variant)


class LayerKernels:
    """The kernels of a layer's products, rounded to bfloat16 where that is allowed just now.

    Args:
        processor: The one at hand.
        is_exact: Whether products must not be rounded.
    """

    def __init__(self, processor: Processor, *, is_exact: bool) -> None:
        self._processor, self._is_exact = processor, is_exact
        self._found: dict[tuple[str, torch.dtype, bool, str], Kernel] = {}

    def of(self, name: str, weights: Sequence[Tensor], variant: str = "") -> Kernel:
        """Return a kernel that multiplies by these weights; few units are not rounded.

        Args:
            name: Of the kernel.
            weights: ``[lanes, outputs, inputs]`` each, of one type.
            variant: Of the kernel.
        """
        dtype = weights[0].dtype
        is_paired = (
            not self._is_exact
            and may_round()
            and self._processor.has_pairs
            and dtype == torch.float32
            and min(side for weight in weights for side in weight.shape[1:]) >= _LEAST_SIDE
        )
        return self._kept(name, dtype, variant, is_paired=is_paired)

    def plain(self, name: str, dtype: torch.dtype) -> Kernel:
        """Return a kernel that multiplies by no weights."""
        return self._kept(name, dtype, "", is_paired=False)

    def _kept(self, name: str, dtype: torch.dtype, variant: str, *, is_paired: bool) -> Kernel:
        key = (name, dtype, is_paired, variant)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = kernel_of(
                self._processor, name, dtype, is_paired=is_paired, variant=variant
            )
        return found
