"""The runner that trainers really use, on a real database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from hpsearch.errors import ServiceDown
from hpsearch.settings import Settings
from hpsearch.storage import workers
from hpsearch.storage.database import Database
from hpsearch.worker.runner import DEFAULT_RUNNER, find_factory

NAME = "host-1-cpu0-abcd"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """A real runner settles its process, which here is everybody's."""
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def settings_for(tmp_path: Path) -> Callable[[str], Settings]:
    def make(url: str) -> Settings:
        return Settings(data_dir=tmp_path, database_url=url)

    return make


def names(url: str) -> list[str]:
    database = Database(url)
    try:
        with database.read() as tx:
            return [worker.name for worker in workers.list_workers(tx)]
    finally:
        database.dispose()


def test_a_look_without_work_says_so_and_the_worker_is_listed_until_it_leaves(
    settings_for: Callable[[str], Settings], database_url: str
) -> None:
    runner = find_factory(DEFAULT_RUNNER)(settings_for(database_url), NAME, "cpu")
    assert not runner.run(None, lambda: False, lambda: None)
    assert names(database_url) == [NAME]
    runner.close()
    assert names(database_url) == []


def test_a_lost_worker_is_struck_off(
    settings_for: Callable[[str], Settings], sqlite_url: str
) -> None:
    dead = find_factory(DEFAULT_RUNNER)(settings_for(sqlite_url), NAME, "cpu")
    dead.run(None, lambda: False, lambda: None)
    heir = find_factory(DEFAULT_RUNNER)(settings_for(sqlite_url), "host-1-cpu0-ef01", "cpu")
    heir.worker_lost(NAME)
    assert names(sqlite_url) == []
    dead.close()
    heir.close()


def test_a_database_without_tables_is_waited_for(
    settings_for: Callable[[str], Settings], empty_sqlite_url: str
) -> None:
    with pytest.raises(ServiceDown, match="hpsearch db upgrade"):
        find_factory(DEFAULT_RUNNER)(settings_for(empty_sqlite_url), NAME, "cpu")
