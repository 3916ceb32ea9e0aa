"""Fail a study that cannot go on: its data cannot be had, or our own code broke."""

from hpsearch.spec.states import StateReason, StudyState
from hpsearch.storage import studies
from hpsearch.storage.database import Database, now
from hpsearch.studies.cancel_running import cancel_running
from hpsearch.studies.settle import leave_active


def fail_study(database: Database, uuid: str, reason: StateReason, message: str) -> None:
    """End a study as FAILED with a message among its warnings; an ended one is left alone.

    Its running trials FAIL as ``cancelled`` and do not count.
    """
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is None or study.state.has_ended:
            return
        at = now(tx)
        study = leave_active(tx, study, StudyState.FAILED, reason, at)
        studies.update_study(tx, study, finished_at=at, warnings=[*study.warnings, message])
        cancel_running(tx, study, message)
