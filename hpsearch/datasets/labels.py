"""Classes and tasks, as they follow from the targets of an upload."""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hpsearch.datasets.complaints import refuse
from hpsearch.spec.sections import Task

MAX_CLASSES = 1000
MAX_LABEL_CHARS = 200
MAX_INFERRED_CLASSES = 50
"""Whole numbers with more different values are taken for amounts, unless the caller says so."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.ASCII)


def task_of_numbers(values: NDArray[np.float64]) -> Task:
    """Return what numbers without further notice ask for.

    Whole numbers with few different values, each seen twice on average, are classes.
    """
    if not np.array_equal(values, np.rint(values)):
        return Task.REGRESSION
    n_different = len(np.unique(values))
    is_few = n_different <= MAX_INFERRED_CLASSES and 2 * n_different <= len(values)
    return Task.CLASSIFICATION if is_few else Task.REGRESSION


def numbered(names: list[str], where: str) -> dict[str, int]:
    """Return class numbers by name: in order of value if all names are numbers, else of text.

    Raises:
        RequestInvalid: There are too few, too many or too long ones.
    """
    if len(names) < 2:
        refuse(where, f"has one class only, {names[0]!r}: there is nothing to learn")
    if len(names) > MAX_CLASSES:
        refuse(
            where,
            f"has {len(names):,} different values, more than {MAX_CLASSES:,} classes: if they are "
            "amounts, say ?task=regression",
        )
    long = next((name for name in names if len(name) > MAX_LABEL_CHARS), None)
    if long is not None:
        refuse(where, f"has a class name of more than {MAX_LABEL_CHARS} characters", long[:50])
    is_number = all(_NUMBER.fullmatch(name) for name in names)
    ordered = sorted(names, key=float) if is_number else sorted(names)
    return {name: number for number, name in enumerate(ordered)}


def plain_number(value: float) -> str:
    """Return a number as a class is called: ``3``, not ``3.0``."""
    return str(int(value)) if value == int(value) else repr(float(value))


def rare_classes(counts: Mapping[str, int]) -> list[str]:
    """Return a warning about classes with fewer than three examples: one for each split."""
    rare = [name for name, count in counts.items() if count < 3]
    if not rare:
        return []
    shown = ", ".join(rare[:5]) + (" ..." if len(rare) > 5 else "")
    return [f"{len(rare)} of {len(counts)} classes have fewer than three examples: {shown}"]
