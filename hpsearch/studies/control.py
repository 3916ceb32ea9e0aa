"""Pause, resume, stop, cancel, delete: one transaction each, at any moment."""

from collections.abc import Sequence

from hpsearch.errors import WrongState
from hpsearch.spec.states import StateReason, StudyState
from hpsearch.spec.views import StudyView
from hpsearch.storage import studies
from hpsearch.storage.database import Database, now
from hpsearch.studies.activate import become_active
from hpsearch.studies.cancel_running import cancel_running
from hpsearch.studies.settle import leave_active, settle
from hpsearch.studies.target import target_reached
from hpsearch.studies.views import study_view


def pause(database: Database, name: str) -> StudyView:
    """Stop claiming; running trials come back to WAITING within an epoch.

    Raises:
        StudyNotFound: There is no such study.
        WrongState: It is ending or has ended.
    """
    with database.write() as tx:
        study = studies.lock_by_name(tx, name)
        if study.state not in {StudyState.ACTIVE, StudyState.PAUSED}:
            raise WrongState("pause", name, study.state)
        if study.state is StudyState.ACTIVE:
            study = leave_active(tx, study, StudyState.PAUSED, StateReason.USER, now(tx))
        return study_view(tx, study)


def resume(database: Database, name: str) -> StudyView:
    """Go on with a study that is PAUSED, STOPPING or STOPPED.

    A limit that has been reached ends it again at once.

    Raises:
        StudyNotFound: There is no such study.
        WrongState: It has ended otherwise.
    """
    resumable = {StudyState.ACTIVE, StudyState.PAUSED, StudyState.STOPPING, StudyState.STOPPED}
    with database.write() as tx:
        study = studies.lock_by_name(tx, name)
        if study.state not in resumable:
            raise WrongState("resume", name, study.state)
        if study.state is not StudyState.ACTIVE:
            study = settle(tx, become_active(tx, study), reason=target_reached(tx, study))
        return study_view(tx, study)


def stop(database: Database, name: str) -> StudyView:
    """Claim no new trials; running ones finish. An ended study is left as it is.

    Raises:
        StudyNotFound: There is no such study.
    """
    with database.write() as tx:
        study = studies.lock_by_name(tx, name)
        if study.state in {StudyState.ACTIVE, StudyState.PAUSED}:
            study = leave_active(tx, study, StudyState.STOPPING, StateReason.USER, now(tx))
            study = settle(tx, study)
        return study_view(tx, study)


def cancel(database: Database, name: str) -> StudyView:
    """End now: running trials FAIL as ``cancelled`` and never count. Idempotent.

    Their workers are fenced from this moment and drop the lanes at their next epoch.

    Raises:
        StudyNotFound: There is no such study.
    """
    with database.write() as tx:
        study = studies.lock_by_name(tx, name)
        if not study.state.has_ended:
            at = now(tx)
            study = leave_active(tx, study, StudyState.CANCELLED, StateReason.USER, at)
            studies.update_study(tx, study, finished_at=at)
            cancel_running(tx, study, "the study was cancelled")
            study = studies.get_study(tx, name)
        return study_view(tx, study)


def delete_study(database: Database, name: str) -> Sequence[str]:
    """Delete a study with its trials; return the paths of its artifacts.

    Raises:
        StudyNotFound: There is no such study.
        WrongState: It is ACTIVE or STOPPING.
    """
    with database.write() as tx:
        study = studies.lock_by_name(tx, name)
        if study.state in studies.LIVE_STATES:
            raise WrongState("delete", name, study.state)
        cancel_running(tx, study, "the study was cancelled")
        studies.delete_rows(tx, study)
        return [study.uuid]
