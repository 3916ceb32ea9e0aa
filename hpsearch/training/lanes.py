"""What goes into the training engine and what comes out: the seam between turn and pack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hpsearch.spec.config import TrialConfig
from hpsearch.spec.sections import Direction
from hpsearch.spec.states import FailureKind


@dataclass(frozen=True, slots=True)
class LaneState:
    """All a lane needs to go on elsewhere: taken at an epoch boundary, on the host.

    Attributes:
        epoch: Epochs completed.
        arrays: Named numpy arrays: weights, optimizer state, best weights; un-padded.
        meta: JSON-ready facts: optimizer step, patience, best value and epoch, smoothing window.
    """

    epoch: int
    arrays: Mapping[str, Any]
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """One trial to train.

    Attributes:
        number: The trial's number, unique within a run of the engine.
        config: Every setting of the trial.
        resume: Where an earlier attempt stood, or None to begin.
    """

    number: int
    config: TrialConfig
    resume: LaneState | None = None


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What one lane measured in one epoch (from 1); non-finite values are kept as they are."""

    epoch: int
    metrics: Mapping[str, float]


class LaneOutcome(StrEnum):
    """How a lane ended by itself."""

    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LaneEnd:
    """The end of a lane.

    Attributes:
        outcome: COMPLETED (also when stopped early or told to finish) or FAILED.
        best_epoch: The epoch everything below was taken at; None if FAILED.
        best_metrics: Metrics of that epoch, ``n_parameters`` among them.
        test: ``loss``, ``accuracy`` ... on the test split at the best epoch.
        confusion: Test examples by true and by predicted class; None for a regression.
        stopped_early: Whether patience ended it before the last epoch.
        weights: State dict of the best epoch as numpy arrays, plain ``torch.nn`` names.
        failure: Kind and message if FAILED.
    """

    outcome: LaneOutcome
    best_epoch: int | None = None
    best_metrics: Mapping[str, float] = field(default_factory=dict)
    test: Mapping[str, float] | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None
    stopped_early: bool = False
    weights: Mapping[str, Any] | None = None
    failure: tuple[FailureKind, str] | None = None


@dataclass(frozen=True, slots=True)
class LaneReport:
    """What happened in one lane since the last boundary.

    Attributes:
        number: The trial's number.
        epochs: Newly finished epochs in order; empty when only the end is reported.
        device_seconds: Seconds of the device this lane has used since it was admitted: its
            share of its pack's time, cumulative.
        n_parameters: Trainable weights of the un-padded network.
        end: How the lane ended, or None while it goes on.
    """

    number: int
    epochs: tuple[EpochResult, ...]
    device_seconds: float
    n_parameters: int
    end: LaneEnd | None = None


@dataclass(frozen=True, slots=True)
class Boundary:
    """The engine's question at an epoch boundary: what now?

    Attributes:
        reports: One per lane that has something new; a lane appears at most once.
        n_live: Lanes that go on after this boundary (without those that ended).
        n_free: How many more lanes may be admitted now.
        state_of: Returns a live lane's state as of its last epoch, None before its first; to
            be called before the answer is given.
    """

    reports: tuple[LaneReport, ...]
    n_live: int
    n_free: int
    state_of: Callable[[int], LaneState | None] = field(default=lambda _: None, compare=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a :class:`Boundary`.

    Attributes:
        drop: Lanes to forget without another word (pruned, fenced, cancelled).
        finish: Lanes to end now as COMPLETED; their end comes in a boundary of its own.
        hand_back: Lanes to remove and return with their state (paused).
        hand_back_all: Stop the run; every live lane is returned with its state.
        admit: New lanes, at most ``n_free`` plus those freed by this reply.
    """

    drop: frozenset[int] = frozenset()
    finish: frozenset[int] = frozenset()
    hand_back: frozenset[int] = frozenset()
    hand_back_all: bool = False
    admit: tuple[LaneSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class HandedBack:
    """A lane that left unfinished, as of its last epoch boundary (None: before its first)."""

    number: int
    state: LaneState | None
    device_seconds: float


@dataclass(frozen=True, slots=True)
class Goal:
    """What decides a lane's best epoch.

    Attributes:
        metric: The first per-epoch objective, ``val_loss`` if there is none.
        direction: Which way it improves.
    """

    metric: str
    direction: Direction
