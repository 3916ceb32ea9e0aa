"""Stop nothing."""

from typing import ClassVar, Literal

from hpsearch.pruning.base import REGISTRY, Pruner, PruneRequest
from hpsearch.spec.views import Pruned


@REGISTRY.register("none")
class NoPruner(Pruner):
    """Every trial runs to its own end; no sibling is ever read."""

    needs_history: ClassVar[bool] = False
    name: Literal["none"] = "none"

    def judge(self, request: PruneRequest) -> Pruned | None:  # noqa: ARG002 - the interface
        """Return None."""
        return None
