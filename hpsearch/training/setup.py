"""What all runs of an engine have in common."""

from dataclasses import dataclass, field

import torch

from hpsearch.spec.sections import EarlyStopping
from hpsearch.training.capacity import Lanes
from hpsearch.training.lanes import Goal
from hpsearch.training.losses import Loss
from hpsearch.training.planner import Planner
from hpsearch.training.resident import Resident
from hpsearch.training.warm import Warm


@dataclass(frozen=True, slots=True)
class Setup:
    """The arguments of an engine, and what was made of them."""

    goal: Goal
    seed: int
    early_stopping: EarlyStopping | None
    lanes: Lanes
    is_exact: bool
    resident: Resident
    loss: Loss
    planner: Planner
    precision: str = "exact"
    warm: Warm = field(default_factory=Warm)

    @property
    def device(self) -> torch.device:
        """Where the training happens."""
        return self.resident.device
