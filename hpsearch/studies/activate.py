"""Make a study ACTIVE again."""

from hpsearch.spec.states import StudyState
from hpsearch.storage import studies
from hpsearch.storage.database import Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.shares import join


def become_active(tx: Transaction, study: StudyRecord) -> StudyRecord:
    """Return a locked study, ACTIVE from now on; it joins the line for workers anew."""
    studies.update_study(
        tx,
        study,
        state=StudyState.ACTIVE,
        state_reason=None,
        active_since=now(tx),
        finished_at=None,
    )
    studies.raise_revision(tx, study)
    join(tx, study)
    return studies.find_study(tx, study.uuid) or study
