"""Which study a worker should train next: the one owed most."""

from collections.abc import Callable, Iterable, Mapping

from hpsearch.storage import owners, studies, tallies, trials
from hpsearch.storage.database import Database, Transaction
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.settle import Claimable, claimable


def next_study(database: Database, device: str) -> StudyRecord | None:
    """Return the study a worker owes most: first over owners, then over an owner's studies.

    Among those with claimable trials, the owner with the least device-seconds, and of their
    studies the one with the least device-seconds per weight.

    Args:
        database: Where the studies live.
        device: ``cpu`` or ``cuda:0``: studies that ask for the other kind are passed over.
    """
    with database.read() as tx:
        return most_owed(tx, _claimable_on(tx, device))


def lead(database: Database, device: str, uuid: str) -> float | None:
    """Return by how many device-seconds a study is ahead of the one owed most beside it.

    Negative while it is owed more itself; None if no other study has anything for this device.

    Args:
        database: Where the studies live.
        device: ``cpu`` or ``cuda:0``: studies that ask for the other kind are passed over.
        uuid: The study.
    """
    with database.read() as tx:
        mine = studies.find_study(tx, uuid)
        others = [study for study in _claimable_on(tx, device) if study.uuid != uuid]
        other = most_owed(tx, others)
        if mine is None or other is None:
            return None
        if mine.owner == other.owner:
            weight: float = mine.definition["weight"]
            return (mine.virtual_time - other.virtual_time) * weight
        times = owners.virtual_times(tx)
        return times.get(mine.owner, 0.0) - times.get(other.owner, 0.0)


def _claimable_on(tx: Transaction, device: str) -> list[StudyRecord]:
    return [study for study, room in open_studies(tx, runs_on(device)) if room.total > 0]


def has_suspects(database: Database, uuid: str) -> bool:
    """Return whether a study has WAITING trials that only run among themselves."""
    with database.read() as tx:
        study = studies.find_study(tx, uuid)
        return study is not None and bool(trials.suspects(tx, study.study_id))


def most_owed(tx: Transaction, found: Iterable[StudyRecord]) -> StudyRecord | None:
    """Return which of these studies the workers owe most."""
    times = owners.virtual_times(tx)
    return min(found, key=lambda study: _debt(study, times), default=None)


def _debt(study: StudyRecord, owner_times: Mapping[str, float]) -> tuple[float, str, float, int]:
    owner_time = owner_times.get(study.owner, 0.0)
    return owner_time, study.owner, study.virtual_time, study.study_id


def open_studies(
    tx: Transaction, accepts: Callable[[StudyRecord], bool] = lambda _: True
) -> list[tuple[StudyRecord, Claimable]]:
    """Return the studies in which trials may be claimed, and how many."""
    return [
        (study, claimable(study, tallies.count(tx, study)))
        for study in studies.list_studies(tx, states=studies.LIVE_STATES)
        if accepts(study)
    ]


def runs_on(device: str) -> Callable[[StudyRecord], bool]:
    """Return a test of whether a study may be trained on this device."""
    kind = device.partition(":")[0]

    def accepts(study: StudyRecord) -> bool:
        wanted: str = study.definition["execution"]["device"]
        return wanted in {"auto", kind}

    return accepts
