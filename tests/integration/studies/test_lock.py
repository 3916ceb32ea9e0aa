"""A verb sees its study as the last holder of the lock left it, and locks it in one order."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from hpsearch.storage import studies, tables
from hpsearch.storage.database import Database, lock_study
from tests.services.waiting import eventually
from tests.studies import opened, stored


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    with opened(postgres_url) as database:
        yield database


def waits_for_a_lock(database: Database) -> bool:
    with database.read() as tx:
        return bool(
            tx.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).scalar()
        )


def test_who_waited_for_the_lock_sees_what_was_written_meanwhile(postgres: Database) -> None:
    hand = stored(postgres)
    seen = []

    def wait() -> None:
        with postgres.write() as tx:
            seen.append(studies.lock_by_uuid(tx, hand.uuid))

    with postgres.write() as tx:
        study = studies.lock_by_uuid(tx, hand.uuid)
        assert study is not None
        waiter = threading.Thread(target=wait)
        waiter.start()
        eventually(lambda: waits_for_a_lock(postgres), "the second one waits")
        revision = studies.raise_revision(tx, study)
        studies.update_study(tx, study, next_sample_index=7)
    waiter.join()

    assert seen[0] is not None
    assert (seen[0].revision, seen[0].next_sample_index) == (revision, 7)


def test_who_waits_for_optunas_row_does_not_hold_ours(postgres: Database) -> None:
    """Else it and a verb that locks by name, and then writes ours, would wait for each other."""
    hand = stored(postgres)
    with postgres.read() as tx:
        study = studies.find_study(tx, hand.uuid)
    assert study is not None

    def wait() -> None:
        with postgres.write() as tx:
            studies.lock_by_uuid(tx, hand.uuid)

    with postgres.write() as tx:
        lock_study(tx, study.study_id)
        waiter = threading.Thread(target=wait)
        waiter.start()
        eventually(lambda: waits_for_a_lock(postgres), "the second one waits")
        ours = select(tables.studies.c.study_id).where(tables.studies.c.uuid == hand.uuid)
        assert tx.execute(ours.with_for_update(nowait=True)).all()
    waiter.join()


def test_a_study_that_was_deleted_meanwhile_is_gone(postgres: Database) -> None:
    hand = stored(postgres)
    seen = []

    def wait() -> None:
        with postgres.write() as tx:
            seen.append(studies.lock_by_uuid(tx, hand.uuid))

    with postgres.write() as tx:
        study = studies.lock_by_uuid(tx, hand.uuid)
        assert study is not None
        waiter = threading.Thread(target=wait)
        waiter.start()
        eventually(lambda: waits_for_a_lock(postgres), "the second one waits")
        studies.delete_rows(tx, study)
    waiter.join()

    assert seen == [None]
