"""Rows of studies: ours and Optuna's, written together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from sqlalchemy import Row, Select, bindparam, delete, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from hpsearch.errors import NameTaken, StudyNotFound
from hpsearch.spec.sections import DatasetInfo, Direction
from hpsearch.spec.states import StudyState
from hpsearch.storage.database import CLOCK, Transaction, clock, lock_study, now
from hpsearch.storage.datasets import hold_dataset
from hpsearch.storage.tables import (
    TRIAL_CHILDREN,
    attempts,
    epochs,
    optuna_directions,
    optuna_studies,
    optuna_study_system_attrs,
    optuna_study_user_attrs,
    optuna_trials,
    studies,
    trials,
)

LIVE_STATES = (StudyState.ACTIVE, StudyState.STOPPING)
"""States in which trials may be claimed."""


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """One study as stored; ``name`` is also Optuna's study name."""

    study_id: int
    uuid: str
    name: str
    definition: dict[str, Any]
    warnings: list[str]
    state: StudyState
    state_reason: str | None
    owner: str
    revision: int
    next_sample_index: int
    device_seconds: float
    virtual_time: float
    active_since: datetime | None
    active_s: float
    idempotency_key: str | None
    idempotency_sha256: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    dataset_name: str | None
    dataset: dict[str, Any] | None
    preflight: dict[str, Any] | None
    preflight_until: datetime | None
    tally: dict[str, Any] | None
    tally_revision: int

    @property
    def limits(self) -> dict[str, Any]:
        """The limits section of the definition, every field present."""
        limits: dict[str, Any] = self.definition["limits"]
        return limits

    def active_seconds(self, at: datetime) -> float:
        """Return the seconds the study has been ACTIVE until ``at``."""
        if self.active_since is None:
            return self.active_s
        return self.active_s + (at - self.active_since).total_seconds()


def insert_study(
    tx: Transaction,
    *,
    uuid: str,
    name: str,
    directions: Sequence[Direction],
    definition: Mapping[str, Any],
    warnings: Sequence[str],
    uploaded: DatasetInfo | None,
    owner: str,
    idempotency_key: str | None,
    idempotency_sha256: str | None,
) -> StudyRecord:
    """Write a new ACTIVE study, as Optuna would have, and ours beside it.

    Raises:
        NameTaken: Optuna or we have a study of this name.
        DatasetNotFound: The uploaded data set is gone.
    """
    at = now(tx)
    if uploaded is not None:
        hold_dataset(tx, uploaded)
    try:
        with tx.begin_nested():
            study_id = tx.execute(
                insert(optuna_studies).values(study_name=name).returning(optuna_studies.c.study_id)
            ).scalar_one()
    except IntegrityError as error:
        raise NameTaken(name) from error
    tx.execute(
        insert(optuna_directions),
        [
            {
                "study_id": study_id,
                "objective": objective,
                "direction": StudyDirection[direction.name],
            }
            for objective, direction in enumerate(directions)
        ],
    )
    tx.execute(
        insert(studies).values(
            study_id=study_id,
            uuid=uuid,
            name=name,
            definition=definition,
            warnings=list(warnings),
            dataset_name=None if uploaded is None else uploaded.name,
            dataset=None if uploaded is None else uploaded.model_dump(mode="json"),
            state=StudyState.ACTIVE,
            owner=owner,
            revision=1,
            next_sample_index=0,
            device_seconds=0.0,
            virtual_time=0.0,
            active_since=at,
            active_s=0.0,
            idempotency_key=idempotency_key,
            idempotency_sha256=idempotency_sha256,
            created_at=at,
            updated_at=at,
        )
    )
    return get_study(tx, name)


def get_study(tx: Transaction, name: str) -> StudyRecord:
    """Return the study of this name.

    Raises:
        StudyNotFound: There is none.
    """
    record = _one(tx, select(studies).where(studies.c.name == name))
    if record is None:
        raise StudyNotFound(name)
    return record


def find_study(tx: Transaction, uuid: str) -> StudyRecord | None:
    """Return the study of this uuid, or None."""
    return _one(tx, _BY_UUID, {"uuid": uuid})


def find_by_idempotency_key(tx: Transaction, owner: str, key: str) -> StudyRecord | None:
    """Return the study this owner made with this key, or None."""
    matches = (studies.c.owner == owner, studies.c.idempotency_key == key)
    return _one(tx, select(studies).where(*matches))


def lock_by_name(tx: Transaction, name: str) -> StudyRecord:
    """Lock the study of this name and return it as it is under the lock.

    Raises:
        StudyNotFound: There is none.
    """
    study_id = tx.execute(select(studies.c.study_id).where(studies.c.name == name)).scalar()
    if study_id is None:
        raise StudyNotFound(name)
    lock_study(tx, study_id, name)
    return get_study(tx, name)


_BY_UUID = select(studies).where(studies.c.uuid == bindparam("uuid"))
# A locked row is returned as its last holder left it, even if the statement began before; so
# ours is locked with Optuna's, after it, and nothing else is read in this statement.
_LOCKED = (
    _BY_UUID.select_from(
        studies.join(optuna_studies, optuna_studies.c.study_id == studies.c.study_id)
    )
    # in this order: whoever locks by name holds Optuna's row while it writes ours
    .with_for_update(of=[optuna_studies, studies])
)


def lock_by_uuid(tx: Transaction, uuid: str) -> StudyRecord | None:
    """Lock the study of this uuid and return it as it is under the lock; None if it is gone."""
    return _one(tx, _LOCKED if tx.dialect.name != "sqlite" else _BY_UUID, {"uuid": uuid})


def list_studies(
    tx: Transaction,
    *,
    states: Sequence[StudyState] | None = None,
    after: tuple[datetime, int] | None = None,
    limit: int | None = None,
) -> list[StudyRecord]:
    """Return studies, newest first.

    Args:
        tx: An open transaction.
        states: Only these states; None for all.
        after: ``(created_at, study_id)`` of the last study of the page before.
        limit: Most studies returned.
    """
    query = select(studies).order_by(studies.c.created_at.desc(), studies.c.study_id.desc())
    if states is not None:
        query = query.where(studies.c.state.in_(states))
    if after is not None:
        query = query.where(tuple_(studies.c.created_at, studies.c.study_id) < after)
    if limit is not None:
        query = query.limit(limit)
    return [_record(row) for row in tx.execute(query)]


def virtual_times(tx: Transaction, but: int) -> list[tuple[str, bool, float]]:
    """Return owner, whether it is live, and virtual time of every study but one."""
    query = select(studies.c.owner, studies.c.state, studies.c.virtual_time)
    return [
        (owner, state in LIVE_STATES, time)
        for owner, state, time in tx.execute(query.where(studies.c.study_id != but))
    ]


def update_study(tx: Transaction, study: StudyRecord, **changes: Any) -> None:
    """Write columns of a locked study."""
    tx.execute(update(studies).where(studies.c.study_id == study.study_id).values(**changes))


def add_usage(tx: Transaction, study: StudyRecord, device_seconds: float, weight: float) -> None:
    """Add device-seconds to a locked study, and their share to its virtual time."""
    tx.execute(
        update(studies)
        .where(studies.c.study_id == study.study_id)
        .values(
            device_seconds=studies.c.device_seconds + device_seconds,
            virtual_time=studies.c.virtual_time + device_seconds / weight,
        )
    )


def read_attrs(tx: Transaction, study_id: int) -> dict[str, Any]:
    """Return Optuna's system attributes of a study: what samplers remember."""
    attrs = optuna_study_system_attrs.c
    query = select(attrs.key, attrs.value_json).where(attrs.study_id == study_id)
    return {key: json.loads(value) for key, value in tx.execute(query)}


def add_attrs(tx: Transaction, study: StudyRecord, attrs: Mapping[str, Any]) -> None:
    """Write Optuna system attributes of a locked study; those there are stay as they are."""
    known = read_attrs(tx, study.study_id) if attrs else {}
    rows = [
        {"study_id": study.study_id, "key": key, "value_json": json.dumps(value)}
        for key, value in attrs.items()
        if key not in known
    ]
    if rows:
        tx.execute(insert(optuna_study_system_attrs), rows)


def raise_revision(tx: Transaction, study: StudyRecord) -> int:
    """Raise the revision of a locked study, note the time of change, return the revision."""
    at = clock(tx)
    params: dict[str, Any] = {"b_study_id": study.study_id}
    statement = _RAISE_BY_CLOCK
    if isinstance(at, datetime):
        statement, params = _RAISE, {**params, "b_at": at}
    revision: int = tx.execute(statement, params).scalar_one()
    return revision


def advance(
    tx: Transaction,
    study: StudyRecord,
    at: datetime,
    *,
    device_seconds: float = 0.0,
    weight: float = 1.0,
    n_indexes: int = 0,
) -> StudyRecord:
    """Raise the revision of a locked study and add to its sums; return it as it is now.

    Args:
        tx: The verb's transaction.
        study: The study as it was when locked.
        at: The time of the change.
        device_seconds: Used since the last time; their share is added to the virtual time.
        weight: The study's.
        n_indexes: How many sample indexes were issued.
    """
    row = tx.execute(
        _ADVANCE,
        {
            "b_study_id": study.study_id,
            "b_at": at,
            "b_used_s": device_seconds,
            "b_share": device_seconds / weight,
            "b_indexes": n_indexes,
        },
    ).one()
    return replace(
        study,
        revision=row[0],
        device_seconds=row[1],
        virtual_time=row[2],
        next_sample_index=row[3],
        updated_at=at,
    )


_RAISE_TO = (
    update(studies)
    .where(studies.c.study_id == bindparam("b_study_id"))
    .values(revision=studies.c.revision + 1)
    .returning(studies.c.revision)
)
_RAISE = _RAISE_TO.values(updated_at=bindparam("b_at"))
_RAISE_BY_CLOCK = _RAISE_TO.values(updated_at=CLOCK)
_ADVANCE = (
    update(studies)
    .where(studies.c.study_id == bindparam("b_study_id"))
    .values(
        revision=studies.c.revision + 1,
        updated_at=bindparam("b_at"),
        device_seconds=studies.c.device_seconds + bindparam("b_used_s"),
        virtual_time=studies.c.virtual_time + bindparam("b_share"),
        next_sample_index=studies.c.next_sample_index + bindparam("b_indexes"),
    )
    .returning(
        studies.c.revision,
        studies.c.device_seconds,
        studies.c.virtual_time,
        studies.c.next_sample_index,
    )
)


def delete_rows(tx: Transaction, study: StudyRecord) -> None:
    """Delete a locked study with everything that belongs to it, ours and Optuna's."""
    of_study = select(optuna_trials.c.trial_id).where(optuna_trials.c.study_id == study.study_id)
    for table in (epochs, attempts, trials):
        tx.execute(delete(table).where(table.c.study_id == study.study_id))
    for table in TRIAL_CHILDREN:
        tx.execute(delete(table).where(table.c.trial_id.in_(of_study)))
    tx.execute(delete(studies).where(studies.c.study_id == study.study_id))
    for table in (
        optuna_trials,
        optuna_directions,
        optuna_study_user_attrs,
        optuna_study_system_attrs,
        optuna_studies,
    ):
        tx.execute(delete(table).where(table.c.study_id == study.study_id))


def _one(
    tx: Transaction, query: Select[Any], params: Mapping[str, Any] | None = None
) -> StudyRecord | None:
    row = tx.execute(query, params).first()
    return None if row is None else _record(row)


def _record(row: Row[Any]) -> StudyRecord:
    fields = dict(row._mapping)
    return StudyRecord(**{**fields, "state": StudyState(fields["state"])})
