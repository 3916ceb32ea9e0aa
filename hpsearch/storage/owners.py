"""Rows of owners: how much of the workers each has had."""

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import owners


def virtual_times(tx: Transaction) -> dict[str, float]:
    """Return the device-seconds of every owner, from the start a newcomer was given."""
    query = select(owners.c.name, owners.c.virtual_time)
    return {name: time for name, time in tx.execute(query)}  # noqa: C416 - typed rows


def charge(tx: Transaction, name: str, device_seconds: float) -> None:
    """Add device-seconds to an owner.

    Best the last statement of a transaction: studies of one owner wait for each other here.
    """
    if device_seconds > 0:
        time = owners.c.virtual_time + device_seconds
        tx.execute(update(owners).where(owners.c.name == name).values(virtual_time=time))


def start_from(tx: Transaction, name: str, virtual_time: float) -> None:
    """Let an owner, known or new, stand no earlier than at this time."""
    is_sqlite = tx.dialect.name == "sqlite"
    later = (func.max if is_sqlite else func.greatest)(owners.c.virtual_time, virtual_time)
    insert = (sqlite.insert if is_sqlite else postgresql.insert)(owners)
    tx.execute(
        insert.values(name=name, virtual_time=virtual_time).on_conflict_do_update(
            index_elements=[owners.c.name], set_={"virtual_time": later}
        )
    )
