"""Which trials of a study are best: one, or the Pareto front."""

import math
from collections.abc import Iterable, Sequence

from hpsearch.spec.sections import Direction
from hpsearch.storage import tallies, trials
from hpsearch.storage.database import Transaction
from hpsearch.storage.studies import StudyRecord


def best_numbers(tx: Transaction, study: StudyRecord) -> list[int]:
    """Return the best COMPLETE trials: the earliest best one, or the front in number order."""
    if len(study.definition["objectives"]) == 1:
        best = tallies.tally(tx, study).best
        return [] if best is None else [best[0]]
    return pareto_front(ranked(tx, study))


def ranked(tx: Transaction, study: StudyRecord) -> list[tuple[int, list[float]]]:
    """Return number and losses of every COMPLETE trial, best first, ties by number.

    A loss is the objective's value, negated if it is maximised; NaN is worst.
    """
    signs = [
        -1.0 if objective["direction"] == Direction.MAXIMIZE else 1.0
        for objective in study.definition["objectives"]
    ]
    points = [
        (number, [_loss(sign, value) for sign, value in zip(signs, values, strict=True)])
        for number, values in trials.complete_values(tx, study.study_id)
        if len(values) == len(signs)
    ]
    return sorted(points, key=lambda point: (point[1], point[0]))


def pareto_front(points: Iterable[tuple[int, Sequence[float]]]) -> list[int]:
    """Return the numbers of the points no other point beats in every coordinate.

    Args:
        points: Number and losses (smaller is better) of each point.
    """
    front: list[tuple[int, Sequence[float]]] = []
    for number, losses in sorted(points, key=lambda point: (tuple(point[1]), point[0])):
        if not any(_dominates(other, losses) for _, other in front):
            front.append((number, losses))
    return sorted(number for number, _ in front)


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    better = any(a < b for a, b in zip(one, other, strict=True))
    return better and all(a <= b for a, b in zip(one, other, strict=True))


def _loss(sign: float, value: float) -> float:
    return math.inf if math.isnan(value) else sign * value
