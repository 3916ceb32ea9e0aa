"""One point of a search space with every value filled in: what a trial trains."""

from dataclasses import dataclass
from typing import Any

from hpsearch.spec.fields import Settings
from hpsearch.spec.sections import Training


@dataclass(frozen=True, slots=True)
class TrialConfig:
    """The resolved settings of one trial.

    Attributes:
        model: Settings of a model family, a plugin of ``hpsearch.models``.
        optimizer: Settings of an update rule, a plugin of ``hpsearch.optimizers``.
        training: Epochs, batch size, early stopping.
    """

    model: Settings
    optimizer: Settings
    training: Training

    def document(self) -> dict[str, Any]:
        """Return the config as JSON-ready nested dicts."""
        return {
            "model": self.model.model_dump(mode="json"),
            "optimizer": self.optimizer.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
        }
