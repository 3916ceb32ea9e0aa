"""One trial while it is trained: what the engine knows of it on the host."""

from dataclasses import dataclass, field

from hpsearch.layers.stack import Shapes
from hpsearch.training.lanes import EpochResult, LaneEnd, LaneSpec, LaneState
from hpsearch.training.tracker import Tracker


@dataclass(slots=True, eq=False)
class Lane:
    """A trial in training.

    Attributes:
        spec: The trial.
        shapes: Its parameters, and the statistics its network keeps beside them.
        n_parameters: Its trainable weights.
        tracker: Its best epoch and its patience.
        epoch: Epochs completed.
        step: Optimizer steps taken.
        device_seconds: Its share of the time of its packs.
        pending: Epochs not reported yet.
        end: How it ended, if it has and that is not reported yet.
        is_asked_to_finish: Told to finish before it had an epoch to show.
    """

    spec: LaneSpec
    shapes: Shapes
    n_parameters: int
    tracker: Tracker
    epoch: int = 0
    step: int = 0
    device_seconds: float = 0.0
    pending: list[EpochResult] = field(default_factory=list)
    end: LaneEnd | None = None
    is_asked_to_finish: bool = False

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.spec.number

    @property
    def is_at_its_end(self) -> bool:
        """Whether the lane has all its epochs, or has run out of patience."""
        return (
            self.epoch >= self.spec.config.training.epochs
            or self.tracker.is_out_of_patience
            or self.is_asked_to_finish
        )

    def restore(self, state: LaneState) -> None:
        """Go on where ``state`` was taken (the tensors are the pack's affair)."""
        self.epoch = state.epoch
        self.step = int(state.meta["step"])
        self.tracker.restore(state.meta["tracker"])
