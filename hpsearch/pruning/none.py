"""Stop nothing."""

from typing import ClassVar, Literal

from optuna.trial import FrozenTrial

from hpsearch.pruning.base import REGISTRY, Pruner
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.spec.views import Pruned


@REGISTRY.register("none")
class NoPruner(Pruner):
    """Every trial runs to its own end; no sibling is ever read."""

    needs_history: ClassVar[bool] = False
    name: Literal["none"] = "none"

    def judge(self, study: JudgedStudy, trial: FrozenTrial) -> Pruned | None:  # noqa: ARG002
        """Return None."""
        return None
