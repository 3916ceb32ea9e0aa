"""Rows of notices: that a study has ended, to be told to whom the administrator named."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from hpsearch.spec.states import StudyState
from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import notices, studies

_ENDED = [state for state in StudyState if state.has_ended]


@dataclass(frozen=True, slots=True)
class Notice:
    """One end of a study: one that goes on and ends again has another.

    Attributes:
        study_uuid: The study.
        study_name: Its name.
        finished_at: When it ended.
        n_tries: How often it was tried to tell.
    """

    study_uuid: str
    study_name: str
    finished_at: datetime
    n_tries: int


def find_due(tx: Transaction, *, since: datetime, at: datetime) -> Notice | None:
    """Return a study that ended after ``since`` and is to be told of now, or None."""
    is_same = and_(
        notices.c.study_uuid == studies.c.uuid, notices.c.finished_at == studies.c.finished_at
    )
    query = (
        select(studies.c.uuid, studies.c.name, studies.c.finished_at, notices.c.n_tries)
        .select_from(studies.outerjoin(notices, is_same))
        .where(studies.c.state.in_(_ENDED), studies.c.finished_at >= since)
        .where(or_(notices.c.n_tries.is_(None), notices.c.next_try_at <= at))
        .order_by(studies.c.finished_at)
        .limit(1)
    )
    row = tx.execute(query).first()
    return None if row is None else Notice(row.uuid, row.name, row.finished_at, row.n_tries or 0)


def take(tx: Transaction, notice: Notice, next_try_at: datetime | None) -> bool:
    """Count a try that begins now; return False if another process was quicker.

    Args:
        tx: An open transaction.
        notice: As it was found.
        next_try_at: When to try again if this try comes to nothing; None: never.
    """
    values = {"n_tries": notice.n_tries + 1, "next_try_at": next_try_at}
    if notice.n_tries == 0:
        try:
            with tx.begin_nested():
                tx.execute(insert(notices).values(**_key(notice), **values))
        except IntegrityError:
            return False
        return True
    same = [notices.c[name] == value for name, value in _key(notice).items()]
    statement = update(notices).where(*same, notices.c.n_tries == notice.n_tries).values(**values)
    return tx.execute(statement).rowcount == 1


def close(tx: Transaction, notice: Notice) -> None:
    """Note that nothing more is to be tried."""
    same = [notices.c[name] == value for name, value in _key(notice).items()]
    tx.execute(update(notices).where(*same).values(next_try_at=None))


def forget(tx: Transaction, before: datetime) -> None:
    """Delete notices of studies that ended before a time."""
    tx.execute(delete(notices).where(notices.c.finished_at < before))


def _key(notice: Notice) -> dict[str, object]:
    return {"study_uuid": notice.study_uuid, "finished_at": notice.finished_at}
