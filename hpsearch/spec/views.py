"""What callers see of studies, trials and epochs: the shapes of CONTRACT §4."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from hpsearch.spec.findings import PreflightView
from hpsearch.spec.sections import Task
from hpsearch.spec.space import ParameterValue
from hpsearch.spec.states import AttemptState, FailureKind, Origin, StudyState, TrialState


@dataclass(frozen=True, slots=True)
class TrialCounts:
    """How many trials of a study stand where."""

    waiting: int
    running: int
    complete: int
    pruned: int
    fail: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study has come towards the nearest of its limits.

    Attributes:
        finished: Trials that count towards ``max_trials``.
        max_trials: The limit, or None.
        fraction: 0 to 1, the furthest of all limits; None without any.
        eta_s: Estimated seconds to the end; None unless ACTIVE with two finished trials.
    """

    finished: int
    max_trials: int | None
    fraction: float | None
    eta_s: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Device-seconds of a study, by what became of them; ``saved`` is an estimate."""

    device_seconds: float
    completed: float
    pruned: float
    failed: float
    lost: float
    running: float
    saved: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial failed."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """Why a trial was pruned: the rule, and the value it was judged by."""

    rule: str
    epoch: int
    value: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One try at training a trial."""

    number: int
    state: AttemptState
    worker: str
    device: str
    precision: str
    started_at: datetime
    finished_at: datetime | None
    device_seconds: float


@dataclass(frozen=True, slots=True)
class TrialSummary:
    """A trial as lists show it."""

    number: int
    state: TrialState
    origin: Origin
    params: dict[str, ParameterValue]
    values: dict[str, float | None] | None
    test: dict[str, float | None] | None
    epochs: int
    best_epoch: int | None
    stopped_early: bool
    n_parameters: int | None
    device_seconds: float
    failure: Failure | None
    pruned: Pruned | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConfusionView:
    """Test examples by true class (rows) and predicted class; class names where known."""

    classes: tuple[str, ...]
    examples: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class TrialView(TrialSummary):
    """A trial as it is shown alone: with its resolved config and its attempts.

    Attributes:
        config: Every setting; None before the point is drawn.
        attempts: The tries at training it.
        confusion: Of the test split: ``examples`` by true class (rows) and by predicted class,
            and the ``classes`` by name, where known; None for a regression.
    """

    config: dict[str, Any] | None
    attempts: tuple[AttemptView, ...]
    confusion: ConfusionView | None = None


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study as callers see it."""

    name: str
    state: StudyState
    state_reason: str | None
    definition: dict[str, Any]
    description: str
    tags: tuple[str, ...]
    counts: TrialCounts
    best_trials: tuple[TrialSummary, ...]
    progress: Progress
    usage: Usage
    warnings: tuple[str, ...]
    owner: str
    weight: float
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    preflight: PreflightView | None = None


@dataclass(frozen=True, slots=True)
class EpochView:
    """What was measured in one epoch of one trial; a non-finite value is a float inf or nan."""

    number: int
    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class DatasetView:
    """A data set as callers see it.

    Attributes:
        name: What definitions call it.
        source: ``built_in`` (a plugin) or ``upload``.
        task: ``classification`` or ``regression``.
        input_shape: Shape of one example.
        n_outputs: Classes, or target columns.
        outputs: Their names, where known.
        n_examples: Those that splits are made of, where known.
        has_test_split: Whether it has test examples of its own.
        description: What it is.
        columns: Of an upload: how each column or array was understood.
        warnings: Of an upload: what is strange about it.
        media_type: Of an upload: ``text/csv`` or ``application/x-npz``.
        sha256: Of the uploaded file.
        n_bytes: Of the uploaded file.
        owner: Who uploaded it.
        created_at: When it was uploaded.
        used_by: Studies that need the upload, 100 at most.
    """

    name: str
    source: Literal["built_in", "upload"]
    task: Task
    input_shape: tuple[int, ...]
    n_outputs: int
    outputs: tuple[str, ...]
    n_examples: int | None
    has_test_split: bool
    description: str
    columns: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    media_type: str | None = None
    sha256: str | None = None
    n_bytes: int | None = None
    owner: str | None = None
    created_at: datetime | None = None
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker.

    Attributes:
        name: The worker.
        device: What it trains on.
        study: The study it trains, None while idle.
        trials: Numbers of the trials it has claimed.
        started_at: When it came.
        silent_s: Seconds since it was last heard of.
    """

    name: str
    device: str
    study: str | None
    trials: tuple[int, ...]
    started_at: datetime
    silent_s: float
