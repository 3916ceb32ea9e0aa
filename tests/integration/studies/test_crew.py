from datetime import timedelta

from hpsearch.storage import workers
from hpsearch.storage.database import Database, now
from hpsearch.studies.control import pause
from hpsearch.studies.crew import ALIVE, preview_crew
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
    see(database, "cuda:0", ago=2 * ALIVE)
    assert get_study(database, "study").warnings == NO_GPU
    assert preview_crew(database, wanted) == NO_GPU

    see(database, "cuda:0")
    assert get_study(database, "study").warnings == ()
    assert preview_crew(database, wanted) == ()


def test_nothing_is_missed_where_nothing_is_wanted(database: Database) -> None:
    stored(database)
    assert get_study(database, "study").warnings == (), "any worker may take it"
    stored(database, name="paused", execution={"device": "cuda"})
    pause(database, "paused")
    assert get_study(database, "paused").warnings == ()
