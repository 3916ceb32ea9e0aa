"""What the whole service holds and does at this moment."""

from datetime import timedelta

from hpsearch.storage.census import Census, take_census
from hpsearch.storage.database import Database, now

ALIVE_S = 30.0  # a worker speaks every few seconds


def census(database: Database) -> Census:
    """Return how many studies, trials and workers there are, by state."""
    with database.read() as tx:
        return take_census(tx, now(tx) - timedelta(seconds=ALIVE_S))
