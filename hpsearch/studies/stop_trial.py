"""End one trial at its next epoch, as if it had run its course."""

from hpsearch.errors import TrialNotFound, WrongState
from hpsearch.spec.states import TrialState
from hpsearch.spec.views import TrialView
from hpsearch.storage import studies, trials
from hpsearch.storage.database import Database
from hpsearch.studies.views import trial_view


def stop_trial(database: Database, name: str, number: int) -> TrialView:
    """Have a trial end at its epoch as COMPLETE; a finished one is left as it is.

    Raises:
        StudyNotFound: There is no such study.
        TrialNotFound: It has no such trial.
        WrongState: The trial has not begun.
    """
    with database.write() as tx:
        study = studies.lock_by_name(tx, name)
        trial = trials.find_trial(tx, study.study_id, number)
        if trial is None:
            raise TrialNotFound(name, number)
        if trial.state is TrialState.WAITING and trial.n_attempts == 0:
            raise WrongState(f"stop trial {number} of", name, trial.state, "it has not begun")
        if not trial.state.has_finished and not trial.is_asked_to_stop:
            revision = studies.raise_revision(tx, study)
            trials.update_trial(tx, trial.trial_id, is_asked_to_stop=True, revision=revision)
        return trial_view(tx, study, *trials.by_numbers(tx, study.study_id, [number]))
