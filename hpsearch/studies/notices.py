"""Tell that studies have ended: each end once, tried again for an hour and a half."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from hpsearch.errors import StudyNotFound
from hpsearch.logs import get_logger
from hpsearch.spec.views import StudyView
from hpsearch.storage import notices, studies
from hpsearch.storage.database import Database, now
from hpsearch.studies.views import study_view

log = get_logger(__name__)

FRESH = timedelta(hours=24)  # older ends are no news to a receiver that was named later
FIRST_WAIT_S = 10.0
MAX_TRIES = 10  # 10, 20 ... 2,560 s apart
KEPT = timedelta(days=7)


class Outcome(Enum):
    """What a try to tell came to."""

    TOLD = auto()
    REFUSED = auto()
    UNREACHABLE = auto()


@dataclass(frozen=True, slots=True)
class News:
    """A study that has ended.

    Attributes:
        delivery: The same for every try of one end, so that a receiver can tell repetitions.
        study: As it stands now.
    """

    delivery: str
    study: StudyView


def tell_one(database: Database, tell: Callable[[News], Outcome]) -> bool:
    """Tell of one study that has ended; return whether there was one.

    A process that dies after telling and before noting it has another one tell again; otherwise
    each end is told once, by one process.

    Args:
        database: Where the studies live.
        tell: Called outside any transaction; may take its time.

    Raises:
        ServiceDown: The database is away.
    """
    with database.write() as tx:
        at = now(tx)
        notices.forget(tx, at - KEPT)
        notice = notices.find_due(tx, since=at - FRESH, at=at)
        if notice is None:
            return False
        is_last = notice.n_tries + 1 >= MAX_TRIES
        wait = timedelta(seconds=FIRST_WAIT_S * 2**notice.n_tries)
        if not notices.take(tx, notice, None if is_last else at + wait):
            return True
        try:
            view = study_view(tx, studies.get_study(tx, notice.study_name))
        except StudyNotFound:
            return True
    outcome = tell(News(f"{notice.study_uuid}-{int(notice.finished_at.timestamp())}", view))
    if outcome is not Outcome.UNREACHABLE:
        with database.write() as tx:
            notices.close(tx, notice)
    elif is_last:
        log.error("webhook_given_up", study=view.name, n_tries=MAX_TRIES)
    return True
