"""What is made of finished trials, made once: their rows never change again."""

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Generic, TypeVar

from hpsearch.spec.views import TrialSummary
from hpsearch.storage import trials
from hpsearch.storage.database import Transaction, is_writing
from hpsearch.storage.listing import TrialStamp
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.views import summaries

T = TypeVar("T")


class Finished(Generic[T]):
    """Makes something of trials, and remembers it of the finished ones.

    Args:
        make: Makes it of a trial as lists show it.
        most: Finished trials remembered; those remembered longest go first.
    """

    def __init__(self, make: Callable[[TrialSummary], T], most: int) -> None:
        self._make = make
        self._most = most
        self._kept: dict[tuple[str, int, int], T] = {}
        self._lock = Lock()

    def of(self, tx: Transaction, study: StudyRecord, stamps: Iterable[TrialStamp]) -> list[T]:
        """Return what is made of these trials, in their order."""
        made: dict[int, T] = {}
        order, missing = [], []
        for stamp in stamps:
            order.append(stamp.number)
            known = self._kept.get((study.uuid, stamp.number, stamp.revision))
            if known is None:
                missing.append(stamp)
            else:
                made[stamp.number] = known
        if missing:
            records = trials.by_numbers(tx, study.study_id, [stamp.number for stamp in missing])
            for summary in summaries(tx, study, records):
                made[summary.number] = self._make(summary)
            if not is_writing(tx):  # what it sees may never be committed
                self._keep(study, made, missing)
        return [made[number] for number in order]

    def _keep(self, study: StudyRecord, made: dict[int, T], missing: list[TrialStamp]) -> None:
        with self._lock:
            for stamp in missing:
                if stamp.state.has_finished:
                    self._kept[study.uuid, stamp.number, stamp.revision] = made[stamp.number]
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
