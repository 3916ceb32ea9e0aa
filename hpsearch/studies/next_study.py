"""Which study a worker should train next: the one owed most."""

from collections.abc import Callable

from hpsearch.storage import studies, trials
from hpsearch.storage.database import Database, Transaction
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.settle import Claimable, claimable


def next_study(database: Database, device: str) -> StudyRecord | None:
    """Return the study with claimable trials and the least device-seconds per weight.

    Args:
        database: Where the studies live.
        device: ``cpu`` or ``cuda:0``: studies that ask for the other kind are passed over.
    """
    with database.read() as tx:
        owed = [study for study, room in open_studies(tx, runs_on(device)) if room.total > 0]
    return min(owed, key=lambda study: (study.virtual_time, study.study_id), default=None)


def open_studies(
    tx: Transaction, accepts: Callable[[StudyRecord], bool] = lambda _: True
) -> list[tuple[StudyRecord, Claimable]]:
    """Return the studies in which trials may be claimed, and how many."""
    found = []
    for study in studies.list_studies(tx, states=studies.LIVE_STATES):
        if accepts(study):
            counts = trials.count(tx, study.study_id)
            n_started = len(trials.waiting(tx, study.study_id, counts.waiting, started=True))
            found.append((study, claimable(study, counts, n_started)))
    return found


def runs_on(device: str) -> Callable[[StudyRecord], bool]:
    """Return a test of whether a study may be trained on this device."""
    kind = device.partition(":")[0]

    def accepts(study: StudyRecord) -> bool:
        wanted: str = study.definition["execution"]["device"]
        return wanted in {"auto", kind}

    return accepts
