"""Who stands where in the line for workers: nobody saves up credit while away.

An owner's time is the device-seconds of all their studies; a study's is its device-seconds
divided by its weight. The least time is served first. Whoever joins the line, for the first
time or again, starts no earlier than the one at its head.
"""

from collections.abc import Collection

from hpsearch.storage import owners, studies
from hpsearch.storage.database import Database, Transaction
from hpsearch.storage.studies import StudyRecord


def join(tx: Transaction, study: StudyRecord) -> None:
    """Put a study that has just become ACTIVE in line, and its owner if that is their first."""
    others = studies.virtual_times(tx, but=study.study_id)
    live_owners = {owner for owner, is_live, _ in others if is_live}
    times = owners.virtual_times(tx)
    if study.owner in live_owners:
        owners.start_from(tx, study.owner, 0.0)
    else:
        heads = [times[name] for name in live_owners if name in times]
        owners.start_from(tx, study.owner, _head(heads, list(times.values())))
    siblings = [(is_live, time) for owner, is_live, time in others if owner == study.owner]
    start = _head([time for is_live, time in siblings if is_live], [time for _, time in siblings])
    if start > study.virtual_time:
        studies.update_study(tx, study, virtual_time=start)


def lift_unserved(database: Database, device_kinds: Collection[str]) -> int:
    """Move studies that no living worker can train up to the head of the line.

    Otherwise one for GPUs, in a cluster without any, would keep the place of its first day: new
    studies would start there, too, and all others would wait for them.

    Args:
        database: Where the studies live.
        device_kinds: ``cpu``, ``cuda``: what living workers have.

    Returns:
        How many studies were moved.
    """
    with database.read() as tx:
        live = studies.list_studies(tx, states=studies.LIVE_STATES)
        times = owners.virtual_times(tx)
    kinds = {"auto", *device_kinds} if device_kinds else set()
    served = [study for study in live if study.definition["execution"]["device"] in kinds]
    served_owners = {study.owner for study in served}
    n_moved = 0
    for study in live if served else []:
        if study in served:
            continue
        start = _head([other.virtual_time for other in served if other.owner == study.owner], [])
        owner_start = _head([times.get(name, 0.0) for name in served_owners], [])
        is_late = study.owner not in served_owners and times.get(study.owner, 0.0) < owner_start
        if study.virtual_time < start or is_late:
            n_moved += _move(database, study.uuid, start, owner_start if is_late else 0.0)
    return n_moved


def _move(database: Database, uuid: str, start: float, owner_start: float) -> int:
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is None:
            return 0
        studies.update_study(tx, study, virtual_time=max(study.virtual_time, start))
        owners.start_from(tx, study.owner, owner_start)
        return 1


def _head(live: list[float], known: list[float]) -> float:
    """Return the least time in the line; while it is empty, the greatest there has been."""
    return min(live) if live else max(known, default=0.0)
