"""A lock among all processes on one database, for work that one of them is enough for."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from hpsearch.storage.database import Database

JANITOR = 0x6870_736A  # "hpsj"


@contextmanager
def try_lock(database: Database, key: int, name: str) -> Iterator[bool]:
    """Hold a lock if nobody else does; tells whether it is held. Never waits.

    It ends with the block, with the connection, and with the process.

    Args:
        database: PostgreSQL keeps it in the server, SQLite in a file beside its own.
        key: Which lock, in the server.
        name: Which lock, as the file's suffix.

    Raises:
        ServiceDown: The database does not answer.
    """
    if database.is_sqlite:
        database.ping()
        path = Path(database.url.database or "hpsearch.db")
        with path.with_name(f"{path.name}.{name}-lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        return
    with database.read() as tx:
        query = text("SELECT pg_try_advisory_xact_lock(:key)")
        yield bool(tx.execute(query, {"key": key}).scalar_one())
