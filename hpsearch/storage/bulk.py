"""Many rows in one statement: the same text for any number of rows, so it is planned once.

PostgreSQL takes each column as an array; SQLite, which has no round trips, takes the rows one
by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Enum,
    Float,
    String,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.types import TypeEngine

from hpsearch.storage.database import Transaction

Rows = Sequence[Mapping[str, Any]]


def insert_rows(
    tx: Transaction, table: Table, rows: Rows, *, replacing: Iterable[str] = ()
) -> None:
    """Write rows, which all name the same columns, in their order.

    Args:
        tx: An open transaction.
        table: Where to.
        rows: Values by column.
        replacing: Columns of a unique constraint: a row that has the same values there gets the
            others.
    """
    if not rows:
        return
    names, unique = tuple(rows[0]), tuple(replacing)
    if tx.dialect.name == "sqlite":
        tx.execute(_insert(table, names, unique), rows)
    else:
        tx.execute(_insert_arrays(table, names, unique), _arrays(tx, table, names, rows))


def update_rows(tx: Transaction, table: Table, key: str, rows: Rows) -> None:
    """Write the same columns of many rows.

    Args:
        tx: An open transaction that holds the study's lock: rows are locked in any order.
        table: Where to.
        key: The column that tells which row is meant; each row names it.
        rows: Values by column.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if tx.dialect.name == "sqlite":
        changed = [{f"b_{name}": value for name, value in row.items()} for row in rows]
        tx.execute(_update(table, names, key), changed)
    else:
        tx.execute(_update_arrays(table, names, key), _arrays(tx, table, names, rows))


@lru_cache
def _insert(table: Table, names: tuple[str, ...], unique: tuple[str, ...]) -> Insert:
    statement = sqlite.insert(table).values({name: bindparam(name) for name in names})
    if not unique:
        return statement
    others = {name: statement.excluded[name] for name in names if name not in unique}
    return statement.on_conflict_do_update(index_elements=unique, set_=others)


@lru_cache
def _update(table: Table, names: tuple[str, ...], key: str) -> Update:
    changes: dict[str, Any] = {name: bindparam(f"b_{name}") for name in names if name != key}
    return update(table).where(table.c[key] == bindparam(f"b_{key}")).values(changes)


@lru_cache
def _insert_arrays(table: Table, names: tuple[str, ...], unique: tuple[str, ...]) -> Insert:
    new = _unnest(table, names)
    statement = postgresql.insert(table).from_select(names, select(new))
    if not unique:
        return statement
    others = {name: statement.excluded[name] for name in names if name not in unique}
    return statement.on_conflict_do_update(index_elements=unique, set_=others)


@lru_cache
def _update_arrays(table: Table, names: tuple[str, ...], key: str) -> Update:
    new = _unnest(table, names)
    changes: dict[str, Any] = {name: new.c[name] for name in names if name != key}
    return update(table).where(table.c[key] == new.c[key]).values(changes)


def _unnest(table: Table, names: Sequence[str]) -> TableValuedAlias:
    arrays = [
        bindparam(f"b_{name}", type_=postgresql.ARRAY(_item_type(table.c[name].type)))
        for name in names
    ]
    columns = [column(name, _item_type(table.c[name].type)) for name in names]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name="new")


def _item_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    # an array is cast to its type, and VARCHAR(n) would cut what the column itself refuses
    return Text() if _is_text(kind) else kind


def _is_text(kind: TypeEngine[Any]) -> bool:
    stored = kind.dialect_impl(_POSTGRESQL)
    impl = getattr(stored, "impl_instance", stored)
    return isinstance(impl, String) and not isinstance(impl, Enum)


_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


def _arrays(
    tx: Transaction, table: Table, names: Sequence[str], rows: Rows
) -> dict[str, list[Any]]:
    arrays = {}
    for name in names:
        kind = table.c[name].type
        values = [row[name] for row in rows]
        convert = kind.dialect_impl(tx.dialect).bind_processor(tx.dialect)
        if convert is not None and _is_text(kind):  # SQLAlchemy converts what is not made text
            values = [convert(value) for value in values]
        if isinstance(kind, Float):  # an array is of one type
            values = [None if value is None else float(value) for value in values]
        arrays[f"b_{name}"] = values
    return arrays
