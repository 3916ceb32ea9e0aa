"""What a kernel of an update rule is to those who start it; no kernel is needed to say so."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

L2 = "l2"
"""Name of the coefficient of the l2 terms whose gradient the update adds: last in the table."""


class Launch(Protocol):
    """Starts the kernel of a rule for one parameter of all lanes."""

    def __call__(
        self,
        weight: Tensor,
        gradient: Tensor,
        buffers: Sequence[Tensor],
        table: Tensor,
        row: Tensor,
        *,
        adds_l2: bool,
    ) -> None:
        """Take the rule's step.

        Args:
            weight: ``[lanes, ...]``, changed in place.
            gradient: Of it.
            buffers: The rule's running values, changed in place.
            table: Coefficients, ``[steps, names, lanes]``.
            row: In the table, ``[1]``.
            adds_l2: Whether to add the gradient of the l2 term first; its coefficient is the
                last one.
        """
