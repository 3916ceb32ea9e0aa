"""The shapes of answers as OpenAPI shows them; ``wire.py`` makes them from the views."""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from hpsearch.spec.findings import Severity
from hpsearch.spec.sections import Task
from hpsearch.spec.states import AttemptState, FailureKind, Origin, StudyState, TrialState

Nonfinite = Annotated[
    dict[str, str], Field(description="numbers that JSON cannot write, by name: inf, -inf, nan")
]
Metrics = Annotated[dict[str, Any], Field(description="values by metric")]


class Counts(TypedDict):
    """How many trials stand where."""

    waiting: int
    running: int
    complete: int
    pruned: int
    fail: int


class Progress(TypedDict):
    """How far a study has come; ``fraction`` is the furthest of all limits."""

    finished: int
    max_trials: int | None
    fraction: float | None
    eta_s: float | None


class Usage(TypedDict):
    """Device-seconds; the first is the sum of the next five, ``saved`` is an estimate."""

    device_seconds: float
    completed: float
    pruned: float
    failed: float
    lost: float
    running: float
    saved: float


class Failure(TypedDict):
    """Why a trial failed."""

    kind: FailureKind
    message: str


class Pruned(TypedDict):
    """Why a trial was pruned."""

    rule: str
    epoch: int
    value: float | None
    threshold: float | None
    nonfinite: NotRequired[Nonfinite]


class Attempt(TypedDict):
    """One try at training a trial."""

    number: int
    state: AttemptState
    worker: str
    device: str
    precision: str
    started_at: datetime
    finished_at: datetime | None
    device_seconds: float


class TrialInList(TypedDict):
    """A trial as lists show it."""

    number: int
    state: TrialState
    origin: Origin
    params: dict[str, Any]
    values: Metrics | None
    test: Metrics | None
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


class Confusion(TypedDict):
    """Test examples by true class (rows) and by predicted class."""

    classes: Annotated[list[str], Field(description="their names; empty: their numbers")]
    examples: list[list[int]]


class Trial(TrialInList):
    """A trial with every value it trains with and its attempts."""

    config: dict[str, Any] | None
    attempts: list[Attempt]
    confusion: Confusion | None


class Finding(TypedDict):
    """The result of one check of the preflight."""

    check: str
    severity: Severity
    message: Annotated[str, Field(description="what was seen and what to change")]
    measured: float | None
    expected: str | None


class Preflight(TypedDict):
    """What was found before the first trial, and what that cost."""

    device: str
    device_seconds: Annotated[float, Field(description="in the budget, in no trial's")]
    finished_at: datetime
    findings: list[Finding]


class Study(TypedDict):
    """A study."""

    name: str
    state: StudyState
    state_reason: str | None
    definition: Annotated[dict[str, Any], Field(description="with all defaults filled in")]
    description: str
    tags: list[str]
    counts: Counts
    best_trials: list[TrialInList]
    progress: Progress
    usage: Usage
    warnings: list[str]
    owner: str
    weight: float
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    preflight: Preflight | None


@with_config(ConfigDict(extra="allow"))
class Epoch(TypedDict):
    """An epoch, from 1, with all its metrics; ``number`` is the trial's, in many trials' lists."""

    epoch: int
    number: NotRequired[int]
    nonfinite: NotRequired[Nonfinite]


class Validation(TypedDict):
    """A definition that would be accepted."""

    definition: Annotated[dict[str, Any], Field(description="with all defaults filled in")]
    size: Annotated[int | None, Field(description="points of the space; null if infinite")]
    warnings: list[str]


class StudyList(TypedDict):
    """A page of studies."""

    studies: list[Study]
    next_page_token: str | None


class TrialList(TypedDict):
    """A page of trials."""

    trials: list[TrialInList]
    next_page_token: str | None


class TrialsAdded(TypedDict):
    """Trials made by one request."""

    trials: list[TrialInList]


class Histogram(TypedDict):
    """How one tensor's numbers are distributed; what is not finite is only counted."""

    name: Annotated[str, Field(description="plain torch.nn name, `0.weight`")]
    shape: list[int]
    size: int
    nonfinite: int
    zeros: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    edges: Annotated[list[float], Field(description="of the bins, one more than `counts`")]
    counts: list[int]


class HistogramList(TypedDict):
    """The weights of a trial's best epoch, tensor by tensor."""

    histograms: list[Histogram]


class EpochList(TypedDict):
    """A page of epochs."""

    epochs: list[Epoch]
    next_page_token: str | None


class Worker(TypedDict):
    """A worker and what it trains at this moment."""

    name: str
    device: str
    study: Annotated[str | None, Field(description="the study's name; null while idle")]
    trials: Annotated[list[int], Field(description="numbers of the trials it has claimed")]
    started_at: datetime
    silent_s: Annotated[float, Field(description="since it was last heard of")]


class WorkerList(TypedDict):
    """The workers."""

    workers: list[Worker]
    next_page_token: str | None


class Dataset(TypedDict):
    """A data set; the fields from ``columns`` on are those of uploads."""

    name: str
    source: Literal["built_in", "upload"]
    task: Task
    input_shape: Annotated[list[int], Field(description="shape of one example")]
    n_outputs: Annotated[int, Field(description="classes, or target columns")]
    outputs: Annotated[list[str], Field(description="their names, where known")]
    n_examples: Annotated[int | None, Field(description="without a test split of its own")]
    has_test_split: bool
    description: str
    columns: Annotated[
        list[dict[str, Any]], Field(description="as they were understood; empty in lists")
    ]
    warnings: list[str]
    media_type: str | None
    sha256: Annotated[str | None, Field(description="of the file as it came")]
    n_bytes: int | None
    owner: str | None
    created_at: datetime | None
    used_by: Annotated[list[str], Field(description="studies that need it")]


class DatasetList(TypedDict):
    """A page of data sets."""

    datasets: list[Dataset]
    next_page_token: str | None


class Health(TypedDict):
    """The process answers."""

    status: str
    version: str


class Readiness(TypedDict):
    """What the process needs answers too."""

    status: str
    checks: dict[str, str]


class FieldProblem(TypedDict):
    """One wrong field."""

    loc: Annotated[list[str | int], Field(description="keys and indexes as you wrote them")]
    msg: str
    input: Any
    line: NotRequired[int]


@with_config(ConfigDict(extra="allow"))
class Problem(TypedDict):
    """An error, RFC 9457; further members depend on the type."""

    type: Annotated[str, Field(description="`/problems/<slug>`")]
    title: str
    status: int
    detail: str
    instance: str
    errors: NotRequired[list[FieldProblem]]
