"""Stop nothing."""

from typing import Literal

from optuna.trial import FrozenTrial

from hpsearch.pruning.base import REGISTRY, Needs, Pruner
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.spec.views import Pruned


@REGISTRY.register("none")
class NoPruner(Pruner):
    """Every trial runs to its own end; no sibling is ever read."""

    name: Literal["none"] = "none"

    @property
    def needs(self) -> Needs:
        """Return that nothing is looked at."""
        return Needs.NOTHING

    @property
    def attr_prefix(self) -> str | None:
        """Return None."""
        return None

    def judge(self, study: JudgedStudy, trial: FrozenTrial) -> Pruned | None:  # noqa: ARG002
        """Return None."""
        return None
