"""Create and migrate the schema: Optuna's tables and ours, in one place, under one lock."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from optuna.storages import RDBStorage
from sqlalchemy import text

import hpsearch.migrations
from hpsearch.storage.database import Database
from hpsearch.storage.tables import VERSION_TABLE

_LOCK_KEY = 0x6870_7365  # "hpse": one advisory lock for every process that would migrate


def upgrade(url: str) -> None:
    """Bring the database to the current schema; safe to call from many processes at once.

    Optuna's tables are created and migrated by Optuna, with its own ``alembic_version``.

    Raises:
        ServiceDown: The database does not answer.
    """
    database = Database(url, pool_size=1)
    try:
        with _only_one(database):
            _upgrade_optuna(database)
            config = _config()
            with database.engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    finally:
        database.dispose()


def is_current(database: Database) -> bool:
    """Return whether both schemas are what this version of the product needs."""
    with database.read() as tx:
        context = MigrationContext.configure(tx, opts={"version_table": VERSION_TABLE})
        ours = context.get_current_revision()
    return ours == ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    folder = str(Path(hpsearch.migrations.__path__[0]))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade_optuna(database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    # RDBStorage runs str.format over its URL
    storage = RDBStorage(url.replace("{", "{{").replace("}", "}}"), skip_compatibility_check=True)
    try:
        if storage.get_current_version() != storage.get_head_version():
            storage.upgrade()
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def _only_one(database: Database) -> Iterator[None]:
    if database.is_sqlite:
        path = Path(database.url.database or "hpsearch.db")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(path.name + ".upgrade-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with database.read() as tx:
        tx.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK_KEY})
        try:
            yield
        finally:
            tx.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK_KEY})
