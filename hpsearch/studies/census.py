"""What the whole service holds and does at this moment."""

from hpsearch.storage.census import Census, take_census
from hpsearch.storage.database import Database, now
from hpsearch.storage.workers import ALIVE_FOR


def census(database: Database) -> Census:
    """Return how many studies, trials and workers there are, by state."""
    with database.read() as tx:
        return take_census(tx, now(tx) - ALIVE_FOR)
