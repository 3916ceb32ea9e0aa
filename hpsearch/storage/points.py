"""The points a study has tried, to tell a new one from them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from hpsearch.storage.database import Transaction
from hpsearch.storage.frozen import read_points
from hpsearch.storage.tables import trials


class Points:
    """Every point drawn for a trial, kept up to date by revision.

    A point is remembered by its hash: two that share one by chance would only be drawn anew.

    Args:
        study_id: Whose trials.
    """

    def __init__(self, study_id: int) -> None:
        self.study_id = study_id
        self._revision = 0
        self._with_point: set[int] = set()
        self._hashes: set[int] = set()

    def refresh(self, tx: Transaction) -> None:
        """Read the points drawn since the last refresh."""
        later = (trials.c.study_id == self.study_id, trials.c.revision > self._revision)
        rows = tx.execute(select(trials.c.trial_id, trials.c.revision).where(*later)).all()
        new = [row.trial_id for row in rows if row.trial_id not in self._with_point]
        for trial_id, point in read_points(tx, new).items():
            self._with_point.add(trial_id)  # it never changes
            self._hashes.add(_hash(point))
        self._revision = max([self._revision, *(row.revision for row in rows)])

    def __contains__(self, point: Mapping[str, Any]) -> bool:
        """Return whether a trial has this point."""
        return _hash(point) in self._hashes


def _hash(point: Mapping[str, Any]) -> int:
    return hash(frozenset(point.items()))
