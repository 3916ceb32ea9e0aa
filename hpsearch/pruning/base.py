"""What a pruner is: a plugin that stops a trial losing against its siblings."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from optuna.trial import FrozenTrial

from hpsearch.registry import Registry
from hpsearch.spec.fields import Settings
from hpsearch.spec.sections import Direction
from hpsearch.spec.views import Pruned

REGISTRY = Registry("hpsearch.pruning")


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """One trial at one epoch, and everything its siblings have reported.

    Attributes:
        trial: The trial with its intermediate values up to the epoch judged.
        epoch: That epoch.
        siblings: Every trial of the study, this one included.
        direction: Which way the metric improves.
        max_epochs: The most epochs any trial of the study may run.
    """

    trial: FrozenTrial
    epoch: int
    siblings: Sequence[FrozenTrial]
    direction: Direction
    max_epochs: int


class Pruner(Settings):
    """Settings and behaviour of one pruner."""

    needs_history: ClassVar[bool] = True

    @abstractmethod
    def judge(self, request: PruneRequest) -> Pruned | None:
        """Return why the trial is stopped at this epoch, or None if it goes on."""
