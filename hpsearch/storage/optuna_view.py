"""Our database as Optuna's own storage sees it, for tools that only look."""

from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy import event

from hpsearch.storage.database import Database


def open_optuna_view(database: Database) -> RDBStorage:
    """Return Optuna's storage over our tables; the database refuses whatever it would write.

    It has connections of its own: close it with :func:`close_optuna_view`. The schema must be
    there.
    """
    url = database.url.render_as_string(hide_password=False)
    storage = RDBStorage(
        url.replace("{", "{{").replace("}", "}}"),  # it runs str.format over its URL
        skip_compatibility_check=True,
        skip_table_creation=True,
    )
    read_only = (
        "PRAGMA query_only = ON"
        if database.is_sqlite
        else "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
    )

    @event.listens_for(storage.engine, "connect")
    def forbid_writing(connection: Any, _record: Any) -> None:
        connection.execute(read_only).close()
        connection.commit()

    close_optuna_view(storage)  # connections made before would still write
    return storage


def close_optuna_view(storage: RDBStorage) -> None:
    """Close every connection; a later call opens one again."""
    storage.remove_session()
    storage.engine.dispose()
