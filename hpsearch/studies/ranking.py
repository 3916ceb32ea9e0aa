"""The COMPLETE trials of a study from best to worst, kept from look to look.

A COMPLETE trial never changes again and its row carries the revision of the moment it ended, so
a look reads only what ended since the last one.
"""

import math
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from hpsearch.spec.sections import Direction
from hpsearch.storage.database import Transaction, is_writing
from hpsearch.storage.listing import completed_between
from hpsearch.storage.studies import StudyRecord

_MAX_KEPT = 32  # studies; one of 10,000 trials takes about 3 MB

Point = tuple[tuple[float, ...], int]
"""Losses (smaller is better) and number of a trial."""


@dataclass
class _Ranking:
    """What is known of one study as of a revision."""

    revision: int = 0
    points: list[Point] = field(default_factory=list)
    front: list[Point] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)

    def update(self, tx: Transaction, study: StudyRecord) -> None:
        signs = _signs(study)
        found = completed_between(tx, study.study_id, self.revision, study.revision)
        news: list[Point] = [
            (tuple(_loss(sign, value) for sign, value in zip(signs, values, strict=True)), number)
            for number, values in found
            if len(values) == len(signs) and number not in self.numbers
        ]
        if len(news) > len(self.points) // 10:
            self.points = sorted(self.points + news)
        else:
            for point in news:
                insort(self.points, point)
        if news:
            self.front = pareto_front([*self.front, *news])
        self.numbers.update(number for _, number in news)
        self.revision = study.revision


_kept: OrderedDict[str, _Ranking] = OrderedDict()
_lock = Lock()


def ranked(tx: Transaction, study: StudyRecord) -> list[int]:
    """Return the numbers of the COMPLETE trials, best first, ties by number.

    Several objectives count in their order; NaN is worst.
    """
    ranking = _ranking(tx, study)
    return [number for _, number in ranking.points]


def front(tx: Transaction, study: StudyRecord) -> list[int]:
    """Return the numbers of the COMPLETE trials no other beats in every objective, in order."""
    return sorted(number for _, number in _ranking(tx, study).front)


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """Return the points no other point beats in every coordinate, in order."""
    ordered = sorted(points)
    if not ordered:
        return []
    losses = np.array([point[0] for point in ordered])
    best = np.empty_like(losses)
    found: list[Point] = []
    for point, loss in zip(ordered, losses, strict=True):
        others = best[: len(found)]
        is_beaten = ((others <= loss).all(axis=1) & (others < loss).any(axis=1)).any()
        if not is_beaten:
            best[len(found)] = loss
            found.append(point)
    return found


def _ranking(tx: Transaction, study: StudyRecord) -> _Ranking:
    """Return the ranking as of the study's revision; it is the caller's or never changes."""
    if is_writing(tx):  # it may see what will never have been
        return _read(tx, study)
    with _lock:
        kept = _kept.setdefault(study.uuid, _Ranking())
        _kept.move_to_end(study.uuid)
        while len(_kept) > _MAX_KEPT:
            _kept.popitem(last=False)
    with kept.lock:
        if kept.revision > study.revision:  # another has looked later than this transaction
            return _read(tx, study)
        if kept.revision < study.revision:
            kept.update(tx, study)
        return _Ranking(kept.revision, list(kept.points), kept.front)


def _read(tx: Transaction, study: StudyRecord) -> _Ranking:
    ranking = _Ranking()
    ranking.update(tx, study)
    return ranking


def _signs(study: StudyRecord) -> list[float]:
    return [
        -1.0 if objective["direction"] == Direction.MAXIMIZE else 1.0
        for objective in study.definition["objectives"]
    ]


def _loss(sign: float, value: float) -> float:
    return math.inf if math.isnan(value) else sign * value
