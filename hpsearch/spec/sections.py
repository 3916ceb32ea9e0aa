"""The sections of a definition that hold no search space, with every default filled in."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from hpsearch.spec.fields import Searchable, Settings


class Task(StrEnum):
    """What a data set asks for."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class Direction(StrEnum):
    """Which way an objective improves."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


StudyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class WarmStart(Settings):
    """Which trials of other studies are tried first."""

    studies: tuple[StudyName, ...] = Field(
        min_length=1, max_length=10, description="names of the studies"
    )
    top: int = Field(
        10, ge=1, le=1_000, description="the best so many COMPLETE points of each study"
    )


class Heading(Settings):
    """What a study is called, and how it stands among others."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        description="unique; lower-case letters, digits, dots, underscores and hyphens",
    )
    description: str = Field("", max_length=2_000, description="notes")
    tags: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] = Field(
        (), max_length=20, description="words to filter lists of studies by"
    )
    weight: float = Field(1.0, ge=0.01, le=100, description="share of the workers")
    seed: int = Field(0, ge=0, lt=2**63, description="of weights, dropout, data order, sampler")
    warm_start: WarmStart | None = Field(
        None, description="points of other studies that are tried first"
    )


class DatasetInfo(Settings):
    """What is known of a data set before it is loaded."""

    name: str
    task: Task
    input_shape: tuple[int, ...] = Field(description="shape of one example")
    n_outputs: int = Field(ge=1, description="classes, or target columns of a regression")
    has_test_split: bool
    description: str = ""
    n_examples: int | None = Field(
        None, ge=1, description="those the fractions apply to: without a test split of its own"
    )
    outputs: tuple[str, ...] = Field((), description="names of the classes or target columns")
    stored: str | None = Field(None, description="key of uploaded arrays; null: a plugin's")


class DatasetSection(Settings):
    """Which examples are trained on, and how they are split."""

    name: str = Field(description="one that comes along, or an uploaded one")
    validation_fraction: float = Field(
        0.1, gt=0, le=0.9, description="of the examples that are not for the test"
    )
    test_fraction: float | None = Field(
        None,
        gt=0,
        le=0.9,
        description="of all examples, 0.2 unless given; null if the data set has its own split",
    )
    train_fraction: float = Field(
        1.0, gt=0, le=1, description="of the training examples left; smaller ones are subsets"
    )
    split_seed: int = Field(
        0, ge=0, lt=2**63, description="keys the splits, so that studies compare; never `seed`"
    )
    normalize: Literal["standard", "none"] = Field(
        "standard",
        description="of the inputs: bytes by one mean and deviation, others per feature; "
        "none: bytes divided by 255, others as they are",
    )


def share(n_examples: int, fraction: float) -> int:
    """Return how many examples a fraction takes: one at least, and never all."""
    return max(1, min(round(n_examples * fraction), n_examples - 1)) if n_examples > 1 else 0


def n_trained_on(info: DatasetInfo, section: DatasetSection) -> int | None:
    """Return the number of training examples a section leaves; None if it is not known."""
    if info.n_examples is None:
        return None
    left = info.n_examples
    if not info.has_test_split:
        left -= share(left, 0.2 if section.test_fraction is None else section.test_fraction)
    left -= share(left, section.validation_fraction)
    return share(left, section.train_fraction) if section.train_fraction < 1 else left


class EarlyStopping(Settings):
    """When a trial ends because its own metric has stopped improving."""

    metric: str = Field("val_loss", description="any val_* metric")
    patience: int = Field(5, ge=1, description="epochs without improvement before the end")
    min_delta: float = Field(0.0, ge=0, description="an improvement is larger than this")
    smoothing: int = Field(1, ge=1, le=100, description="epochs of the moving mean")


class Training(Settings):
    """How one trial is trained: the resolved training section."""

    epochs: Annotated[
        int, Field(ge=1, le=100_000, description="the most of a trial"), Searchable()
    ] = 20
    batch_size: Annotated[
        int,
        Field(ge=1, le=65_536, description="the last, smaller batch is trained on too"),
        Searchable(),
    ] = 128
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="of the classes trained on, as torch"), Searchable()
    ] = 0.0
    data_order: Literal["shared", "per_trial"] = Field(
        "shared", description="whether every trial visits the examples in an order of its own"
    )
    early_stopping: EarlyStopping | None = Field(
        None, description="when a trial ends before its last epoch; null: never"
    )


class Objective(Settings):
    """One metric to optimise."""

    metric: str
    direction: Direction
    target_value: float | None = None


class Limits(Settings):
    """When a study ends, and how much of it runs at once."""

    max_trials: int | None = Field(
        None, ge=1, le=1_000_000, description="finished trials, points of your own included"
    )
    max_concurrent_trials: int | None = Field(
        None, ge=1, description="trials in training at once, over all workers"
    )
    max_failed_trials: int | None = Field(
        None, ge=1, description="failed trials that end the study as FAILED"
    )
    max_attempts: int = Field(3, ge=1, le=10, description="tries of a trial whose worker was lost")
    timeout_s: float | None = Field(None, gt=0, description="time the study is ACTIVE, s")
    trial_timeout_s: float | None = Field(
        None, gt=0, description="time a trial is in training, over all attempts, s"
    )
    device_seconds: float | None = Field(
        None, gt=0, description="time on devices of the whole study, s"
    )


class Execution(Settings):
    """What kind of worker trains the study, and how."""

    lanes: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = Field(
        "auto", description="most trials trained as one program; auto: as many as pay"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="workers that may take the study"
    )
    precision: Literal["exact", "fast"] = Field(
        "exact", description="exact: float32; fast: products in bfloat16 or tf32"
    )
