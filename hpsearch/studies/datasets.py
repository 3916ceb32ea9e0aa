"""Uploaded data sets: taken in, shown, deleted; and what the grammar knows of them."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from hpsearch.catalog import installed_catalog
from hpsearch.datasets.stored import FOLDER, Understood, delete_stored
from hpsearch.datasets.upload import READERS
from hpsearch.errors import DatasetNotFound, DatasetTaken, InUse, StorageFull
from hpsearch.logs import get_logger
from hpsearch.spec.catalog import Catalog
from hpsearch.spec.sections import DatasetInfo, Task
from hpsearch.spec.views import DatasetView
from hpsearch.storage import datasets
from hpsearch.storage.database import Database
from hpsearch.storage.datasets import DatasetRecord

log = get_logger(__name__)

MAX_USERS_SHOWN = 100
STALE_S = 24 * 3600.0  # what a killed server left half-taken-in is older than any upload
_INCOMING = ".incoming-"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came.

    Attributes:
        path: Where it lies, inside :func:`reception`.
        media_type: ``text/csv`` or ``application/x-npz``.
        sha256: Of its bytes.
        n_bytes: Its length.
        target: The target column asked for, or None.
        task: The task asked for, or None.
    """

    path: Path
    media_type: str
    sha256: str
    n_bytes: int
    target: str | None
    task: Task | None


def known_catalog(database: Database) -> Catalog:
    """Return the installed plugins and every uploaded data set."""
    with database.read() as tx:
        return installed_catalog().with_datasets(datasets.known_infos(tx))


@contextmanager
def reception(artifacts_dir: Path) -> Iterator[Path]:
    """Lend a new folder to take an upload in; whatever is left in it is deleted at the end.

    Raises:
        StorageFull: It cannot be made, or anything in the block finds the disk full.
    """
    parent = artifacts_dir / FOLDER
    folder = parent / f"{_INCOMING}{uuid4()}"
    try:
        folder.mkdir(parents=True)
        _forget_stale(parent)
        yield folder
    except OSError as error:
        log.error("upload_not_stored", path=str(folder), error=str(error))
        reason = error.strerror or type(error).__name__
        raise StorageFull(f"the server cannot store the data set: {reason}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_name(name: str) -> None:
    """Return if an upload may have the name; worth asking before a gigabyte is taken in.

    Raises:
        DatasetTaken: It is a plugin's.
    """
    if name in installed_catalog().datasets:
        raise DatasetTaken(name, "as part of the installation")


def add_dataset(
    database: Database,
    artifacts_dir: Path,
    name: str,
    upload: Upload,
    *,
    owner: str,
    max_bytes: int,
) -> tuple[DatasetView, bool]:
    """Make a data set of a file; return it, and whether this call made it.

    The same file with the same questions again is the same data set; of two calls at once, one
    makes it.

    Args:
        database: Where its row goes.
        artifacts_dir: Where its arrays go, in a folder of their own.
        name: A name that a data set may have.
        upload: The file, in a folder of :func:`reception`.
        owner: Whose token it came with.
        max_bytes: Most that the arrays may take.

    Raises:
        DatasetTaken: The name belongs to other data.
        RequestInvalid: Everything that is wrong with the file.
        OSError: The disk is full or cannot be written.
    """
    check_name(name)
    known = _repetition(database, name, upload)
    if known is not None:
        return known, False
    key = str(uuid4())
    made = upload.path.parent / key
    made.mkdir()
    understood = READERS[upload.media_type](
        upload.path, made, target=upload.target, task=upload.task, max_bytes=max_bytes
    )
    _sync(made)
    made.rename(artifacts_dir / FOLDER / key)
    try:
        with database.write() as tx:
            record = datasets.insert_dataset(
                tx,
                name=name,
                key=key,
                info=_info(name, key, understood),
                columns=list(understood.columns),
                warnings=list(understood.warnings),
                media_type=upload.media_type,
                sha256=upload.sha256,
                n_bytes=upload.n_bytes,
                asked_target=upload.target,
                asked_task=upload.task,
                owner=owner,
            )
    except BaseException as error:
        delete_stored(artifacts_dir, key)
        if not isinstance(error, DatasetTaken):
            raise
        known = _repetition(database, name, upload)  # somebody was quicker
        if known is None:
            raise
        return known, False
    log.info("dataset_added", dataset=name, n_bytes=upload.n_bytes, task=understood.task)
    return _view(record, ()), True


def get_dataset(database: Database, name: str) -> DatasetView:
    """Return a data set, uploaded or installed.

    Raises:
        DatasetNotFound: There is none of this name.
    """
    built_in = installed_catalog().datasets.get(name)
    if built_in is not None:
        return _built_in(built_in)
    with database.read() as tx:
        record = datasets.get_dataset(tx, name)
        return _view(record, datasets.users_of(tx, name, MAX_USERS_SHOWN))


def list_datasets(
    database: Database, *, limit: int = 100, after: str | None = None
) -> tuple[list[DatasetView], str | None]:
    """Return a page of data sets by name, without columns, and the last name if there are more.

    Args:
        database: Where uploads are.
        limit: Most data sets returned.
        after: The last name of the page before.
    """
    built_in = installed_catalog().datasets
    with database.read() as tx:
        uploaded = {record.name: record for record in datasets.list_datasets(tx)}
        names = sorted(n for n in {*uploaded, *built_in} if after is None or n > after)
        page = [
            _built_in(built_in[name])
            if name in built_in
            else replace(
                _view(uploaded[name], datasets.users_of(tx, name, MAX_USERS_SHOWN)), columns=()
            )
            for name in names[:limit]
        ]
    return page, (page[-1].name if len(names) > limit else None)


def delete_dataset(database: Database, artifacts_dir: Path, name: str) -> None:
    """Delete an uploaded data set that no study needs.

    Raises:
        DatasetNotFound: There is none of this name.
        InUse: A study needs it, or it is part of the installation.
    """
    if name in installed_catalog().datasets:
        raise InUse(f"data set {name!r} is part of the installation")
    with database.write() as tx:
        record = datasets.delete_dataset(tx, name)
    delete_stored(artifacts_dir, record.key)
    log.info("dataset_deleted", dataset=name)


def _repetition(database: Database, name: str, upload: Upload) -> DatasetView | None:
    """Return the data set if this very upload made it, None if the name is free.

    Raises:
        DatasetTaken: Something else made it.
    """
    try:
        with database.read() as tx:
            record = datasets.get_dataset(tx, name)
            users = datasets.users_of(tx, name, MAX_USERS_SHOWN)
    except DatasetNotFound:
        return None
    came = (upload.sha256, upload.media_type, upload.target, upload.task)
    if came != (record.sha256, record.media_type, record.asked_target, record.asked_task):
        is_same_file = upload.sha256 == record.sha256
        why = "of this file with another target or task" if is_same_file else "with other data"
        raise DatasetTaken(name, why)
    return _view(record, users)


def _info(name: str, key: str, understood: Understood) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        task=understood.task,
        input_shape=understood.input_shape,
        n_outputs=understood.n_outputs,
        has_test_split=understood.n_test_examples is not None,
        description="uploaded",
        n_examples=understood.n_examples,
        outputs=understood.outputs,
        stored=key,
    )


def _built_in(info: DatasetInfo) -> DatasetView:
    return DatasetView(source="built_in", **_shared(info))


def _view(record: DatasetRecord, users: Sequence[str]) -> DatasetView:
    return DatasetView(
        source="upload",
        columns=tuple(record.columns),
        warnings=tuple(record.warnings),
        media_type=record.media_type,
        sha256=record.sha256,
        n_bytes=record.n_bytes,
        owner=record.owner,
        created_at=record.created_at,
        used_by=tuple(users),
        **_shared(record.info),
    )


def _shared(info: DatasetInfo) -> dict[str, Any]:
    names = ("name", "task", "input_shape", "n_outputs", "outputs", "n_examples")
    return {name: getattr(info, name) for name in (*names, "has_test_split", "description")}


def _sync(folder: Path) -> None:
    """Have the disk hold what is in the folder, before anything says that it is there."""
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _forget_stale(parent: Path) -> None:
    for folder in parent.glob(f"{_INCOMING}*"):
        if time.time() - folder.stat().st_mtime > STALE_S:
            shutil.rmtree(folder, ignore_errors=True)
