"""Rows of uploaded data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from hpsearch.errors import DatasetNotFound, DatasetTaken, InUse
from hpsearch.spec.sections import DatasetInfo
from hpsearch.storage.database import Transaction, now
from hpsearch.storage.tables import datasets, studies


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """One uploaded data set as stored.

    Attributes:
        name: Its name, unique.
        key: Names the folder of its arrays.
        info: What the grammar knows of it.
        columns: Columns of a table, or arrays of an archive, as they were understood.
        warnings: What is strange about it.
        media_type: Of the file as it came.
        sha256: Of the file as it came.
        n_bytes: Of the file as it came.
        asked_target: The target column that was asked for, None for the default.
        asked_task: The task that was asked for, None if it was inferred.
        owner: Whose token it came with.
        created_at: When.
    """

    name: str
    key: str
    info: DatasetInfo
    columns: list[dict[str, Any]]
    warnings: list[str]
    media_type: str
    sha256: str
    n_bytes: int
    asked_target: str | None
    asked_task: str | None
    owner: str
    created_at: datetime


def insert_dataset(tx: Transaction, **fields: Any) -> DatasetRecord:
    """Write a new data set (the fields of its record, without ``created_at``).

    Raises:
        DatasetTaken: There is one of this name.
    """
    row = {**fields, "info": fields["info"].model_dump(mode="json"), "created_at": now(tx)}
    try:
        with tx.begin_nested():
            tx.execute(insert(datasets).values(**row))
    except IntegrityError as error:
        raise DatasetTaken(fields["name"], "already") from error
    return get_dataset(tx, fields["name"])


def find_dataset(tx: Transaction, name: str) -> DatasetRecord | None:
    """Return the data set of this name, or None."""
    row = tx.execute(select(datasets).where(datasets.c.name == name)).first()
    return None if row is None else _record(dict(row._mapping))


def get_dataset(tx: Transaction, name: str) -> DatasetRecord:
    """Return the data set of this name.

    Raises:
        DatasetNotFound: There is none.
    """
    record = find_dataset(tx, name)
    if record is None:
        raise DatasetNotFound(name)
    return record


def list_datasets(tx: Transaction) -> list[DatasetRecord]:
    """Return all uploaded data sets by name."""
    rows = tx.execute(select(datasets).order_by(datasets.c.name))
    return [_record(dict(row._mapping)) for row in rows]


def known_infos(tx: Transaction) -> list[DatasetInfo]:
    """Return what the grammar needs of all uploaded data sets."""
    return [
        DatasetInfo.model_validate(info) for info in tx.execute(select(datasets.c.info)).scalars()
    ]


def hold_dataset(tx: Transaction, info: DatasetInfo) -> None:
    """Keep an uploaded data set from being deleted until the transaction ends.

    Raises:
        DatasetNotFound: It is gone, or another one has its name now.
    """
    held = select(datasets.c.key).where(datasets.c.name == info.name).with_for_update(read=True)
    if tx.execute(held).scalar() != info.stored:
        raise DatasetNotFound(info.name)


def users_of(tx: Transaction, name: str, limit: int) -> Sequence[str]:
    """Return the names of studies that need a data set, ``limit`` at most."""
    query = select(studies.c.name).where(studies.c.dataset_name == name)
    return tx.execute(query.order_by(studies.c.study_id).limit(limit)).scalars().all()


def delete_dataset(tx: Transaction, name: str) -> DatasetRecord:
    """Delete a data set that no study needs; return what it was.

    Raises:
        DatasetNotFound: There is none of this name.
        InUse: A study needs it.
    """
    # whoever creates a study on it holds the row, or finds it gone
    tx.execute(select(datasets.c.name).where(datasets.c.name == name).with_for_update())
    record, users = get_dataset(tx, name), users_of(tx, name, 6)
    if users:
        named = ", ".join(users[:5]) + (" and others" if len(users) > 5 else "")
        raise InUse(f"data set {name!r} is needed by {named}: delete the studies first")
    tx.execute(delete(datasets).where(datasets.c.name == name))
    return record


def _record(fields: dict[str, Any]) -> DatasetRecord:
    return DatasetRecord(**{**fields, "info": DatasetInfo.model_validate(fields["info"])})
