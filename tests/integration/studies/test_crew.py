from datetime import timedelta

import pytest

from hpsearch.storage import workers
from hpsearch.storage.database import Database, now
from hpsearch.studies.census import census
from hpsearch.studies.control import pause
from hpsearch.studies.crew import preview_crew
from hpsearch.studies.janitor import Janitor
from hpsearch.studies.read import get_study
from tests.studies import definition, stored

NO_GPU = ("execution.device: no cuda worker is alive; trials wait until one comes",)


def see(database: Database, device: str, *, ago: timedelta = timedelta()) -> None:
    with database.write() as tx:
        workers.touch(tx, f"of {device}", device, None, 0, now(tx) - ago)


def test_a_study_that_no_living_worker_may_take_says_so_until_one_comes(
    database: Database,
) -> None:
    wanted = definition("study", execution={"device": "cuda"})
    stored(database, execution={"device": "cuda"})
    see(database, "cpu")
    see(database, "cuda:0", ago=2 * workers.ALIVE_FOR)
    assert get_study(database, "study").warnings == NO_GPU
    assert preview_crew(database, wanted) == NO_GPU

    see(database, "cuda:0")
    assert get_study(database, "study").warnings == ()
    assert preview_crew(database, wanted) == ()


@pytest.mark.parametrize("missing_s", [-10, 10])
def test_a_worker_is_alive_for_everybody_or_for_nobody(database: Database, missing_s: int) -> None:
    stored(database, execution={"device": "cuda"})
    rung: list[int] = []
    see(database, "cuda:0", ago=workers.ALIVE_FOR + timedelta(seconds=missing_s))
    is_alive = missing_s < 0

    Janitor(database, 5.0, Bell(rung)).tick()

    assert (get_study(database, "study").warnings == ()) is is_alive
    assert census(database).workers == ({("cuda", False): 1} if is_alive else {})
    assert rung == ([1] if is_alive else [])
    assert len(stored(database, "other").claim(4)) == (2 if is_alive else 4)


class Bell:
    """A doorbell that notes how often it is rung."""

    def __init__(self, rung: list[int]) -> None:
        self._rung = rung

    def ring(self, n: int, study: str) -> None:
        self._rung.append(n)

    def waiting(self) -> int:
        return 0


def test_nothing_is_missed_where_nothing_is_wanted(database: Database) -> None:
    stored(database)
    assert get_study(database, "study").warnings == (), "any worker may take it"
    stored(database, name="paused", execution={"device": "cuda"})
    pause(database, "paused")
    assert get_study(database, "paused").warnings == ()
