"""The metrics of a task, and the objectives a study names among them."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from hpsearch.spec.fields import Settings
from hpsearch.spec.layers import Written
from hpsearch.spec.problems import Loc, Problems
from hpsearch.spec.section import SectionReader
from hpsearch.spec.sections import Direction, Objective, Task
from hpsearch.spec.wording import listed, nearest, show

MAX_OBJECTIVES = 4

VALIDATION_METRICS = {
    Task.CLASSIFICATION: ("val_loss", "val_accuracy"),
    Task.REGRESSION: ("val_loss", "val_rmse", "val_r2"),
}
"""What is measured on the validation split after each epoch."""

DEFAULT_OBJECTIVE = {Task.CLASSIFICATION: "val_accuracy", Task.REGRESSION: "val_loss"}

_MAXIMIZED = frozenset({"val_accuracy", "val_r2"})
_OTHER_METRICS = frozenset(
    {"grad_norm", "learning_rate", "seconds", "weight_norm", "update_ratio", "dead_units"}
)


class WrittenObjective(Settings):
    """An objective as the user writes it: the direction follows from the metric."""

    metric: str = Field(description="val_* or n_parameters")
    direction: Direction | None = Field(None, description="null: the metric's own")
    target_value: float | None = Field(
        None, description="one COMPLETE trial that meets all targets ends the study"
    )


@dataclass(frozen=True, slots=True)
class Objectives:
    """The objectives of a study, and what is strange about them."""

    objectives: tuple[Objective, ...]
    warnings: tuple[str, ...]


def objective_metrics(task: Task) -> tuple[str, ...]:
    """Return what a study on such a data set may optimise."""
    return (*VALIDATION_METRICS[task], "n_parameters")


def natural_direction(metric: str) -> Direction:
    """Return which way a metric improves."""
    return Direction.MAXIMIZE if metric in _MAXIMIZED else Direction.MINIMIZE


def metric_complaint(metric: str, allowed: tuple[str, ...], task: Task | None) -> str | None:
    """Return why a metric cannot decide anything, None if it can.

    Args:
        metric: Its name.
        allowed: The metrics that can.
        task: What the data set asks for; None if the data set is unknown.
    """
    if metric in allowed:
        return None
    wrong = f"{show(metric)} cannot be chosen"
    if metric.startswith("test_"):
        return f"{wrong}: the test split is kept from every decision; use {listed(allowed)}"
    if metric.startswith("train_"):
        return f"{wrong}: it is measured on the examples trained on; use {listed(allowed)}"
    if metric in _OTHER_METRICS:
        return f"{wrong}: it is recorded, but no goal; use {listed(allowed)}"
    known = {name for names in VALIDATION_METRICS.values() for name in names}
    if task is not None and metric in known:
        return f"{wrong}: this is a {task} data set, with {listed(allowed)}"
    meant = nearest(metric, allowed) or nearest(f"val_{metric}", allowed)
    hint = f"did you mean {meant}?" if meant else f"there is {listed(allowed)}"
    return f"there is no metric {show(metric)}; {hint}"


class ObjectiveReader:
    """Reads the list of objectives; what is wrong goes to ``problems``.

    Args:
        task: What the data set asks for; None if the data set is unknown.
        reader: Reads the single objective.
        problems: Takes what is wrong.
    """

    def __init__(self, task: Task | None, reader: SectionReader, problems: Problems) -> None:
        self._task = task
        self._reader = reader
        self._problems = problems

    def read(self, raw: Any, loc: Loc) -> Objectives:
        """Return the objectives, without those that are wrong."""
        if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_OBJECTIVES:
            got = f"{len(raw)} entries" if isinstance(raw, list) else show(raw)
            msg = f"must be a list of 1 to {MAX_OBJECTIVES} objects such as {{metric: val_loss}}"
            self._problems.add(loc, f"{msg}, got {got}", raw)
            return Objectives((), ())
        objectives: list[Objective] = []
        for index, item in enumerate(raw):
            objective = self._objective(item, (*loc, index))
            if objective is None:
                continue
            if any(objective.metric == earlier.metric for earlier in objectives):
                msg = f"{objective.metric} is an objective already"
                self._problems.add((*loc, index, "metric"), msg, objective.metric)
            objectives.append(objective)
        return Objectives(tuple(objectives), tuple(_warnings(objectives)))

    def _objective(self, raw: Any, loc: Loc) -> Objective | None:
        if not isinstance(raw, dict):
            msg = f"must be an object such as {{metric: val_loss}}, got {show(raw)}"
            self._problems.add(loc, msg, raw)
            return None
        written = {key: Written(value, (*loc, key)) for key, value in raw.items()}
        section = self._reader.read(written, WrittenObjective, where="objectives", loc=loc)
        metric = raw.get("metric")
        if isinstance(metric, str):
            complaint = metric_complaint(metric, self._allowed(), self._task)
            if complaint is not None:
                self._problems.add((*loc, "metric"), complaint, metric)
                return None
        if section is None:
            return None
        settings = section.settings()
        assert isinstance(settings, WrittenObjective)  # noqa: S101 - as read above
        return Objective(
            metric=settings.metric,
            direction=settings.direction or natural_direction(settings.metric),
            target_value=settings.target_value,
        )

    def _allowed(self) -> tuple[str, ...]:
        tasks = [self._task] if self._task is not None else list(Task)
        return tuple(dict.fromkeys(name for task in tasks for name in objective_metrics(task)))


def _warnings(objectives: list[Objective]) -> list[str]:
    return [
        f"objectives: {item.metric} is usually {natural_direction(item.metric)}d, "
        f"but this study asks to {item.direction} it"
        for item in objectives
        if item.direction is not natural_direction(item.metric)
    ]
