"""Rules that a field has to keep because of what another section says."""

from collections.abc import Iterator, Mapping
from typing import Any

from hpsearch.spec.problems import Loc, Problems
from hpsearch.spec.sections import Task
from hpsearch.spec.wording import show


def check_warmup(optimizer: Mapping[str, Any], epochs: Any, problems: Problems) -> None:
    """Report every ``warmup_epochs`` that some trial of the study could not finish.

    Args:
        optimizer: The optimizer section as the user wrote it, without mistakes of its own.
        epochs: The ``epochs`` of the training section: a constant, a range or choices.
        problems: Takes what is wrong.
    """
    fewest = _ends(epochs)[0]
    for loc, written in _warmups(optimizer, ("optimizer",)):
        longest = _ends(written)[1]
        if longest >= fewest:
            message = (
                f"must be below training.epochs, which is {fewest} in some trials; "
                f"got {show(longest)}"
            )
            problems.add(loc, message, written)


def check_smoothing(label_smoothing: Any, task: Task | None, problems: Problems) -> None:
    """Report labels that are smoothed where there are none.

    Args:
        label_smoothing: As the user wrote it, or the default.
        task: What the data set asks for, None if that is unknown.
        problems: Takes what is wrong.
    """
    if task is Task.REGRESSION and _ends(label_smoothing) != (0, 0):
        message = "has a meaning for classification only; the targets of a regression are numbers"
        problems.add(("training", "label_smoothing"), message, label_smoothing)


def _warmups(section: Mapping[str, Any], loc: Loc) -> Iterator[tuple[Loc, Any]]:
    """Yield every ``warmup_epochs`` in the section and its branches, with its place."""
    if "warmup_epochs" in section:
        yield (*loc, "warmup_epochs"), section["warmup_epochs"]
    schedule = section.get("schedule")
    if isinstance(schedule, dict):
        yield from _warmups(schedule, (*loc, "schedule"))
    for index, branch in enumerate(section.get("choices", ())):
        yield from _warmups(branch, (*loc, "choices", index))


def _ends(written: Any) -> tuple[float, float]:
    """Return the least and the largest value a number can have."""
    if not isinstance(written, dict):
        return written, written
    options = written.get("choices") or [written["low"], written["high"]]
    return min(options), max(options)
