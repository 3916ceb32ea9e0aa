"""A study as its pruner sees it, and what the pruner forgets of a trial that is rewound."""

from collections.abc import Iterable

from optuna.trial import FrozenTrial

from hpsearch.errors import InvalidDefinition
from hpsearch.pruning.base import Pruner
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.spec.definition import Definition
from hpsearch.storage import trials
from hpsearch.storage.database import Transaction
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialRecord
from hpsearch.studies.compiled import compiled


def judged_study(definition: Definition, trials: Iterable[FrozenTrial] = ()) -> JudgedStudy:
    """Return the study with the metric of the first per-epoch objective.

    Args:
        definition: The study's definition.
        trials: Its trials, if they are needed.
    """
    return JudgedStudy(
        definition.name, definition.goal_direction, definition.space.max_epochs, trials
    )


def forget_future(tx: Transaction, study: StudyRecord, record: TrialRecord, epoch: int) -> None:
    """Delete whatever a trial measured, or its pruner remembered, after ``epoch``.

    Else a retry would be judged by its own future.
    """
    trials.forget_future(tx, record.trial_id, epoch)
    try:
        definition = compiled(study)
    except InvalidDefinition:
        return  # a plugin that is not installed here remembers nothing we could read
    pruner = definition.pruner
    if not isinstance(pruner, Pruner) or not pruner.needs_history:
        return
    judged = judged_study(definition)
    trials.delete_system_attrs(
        tx,
        record.trial_id,
        lambda key: pruner.written_at(key, record.number, judged) > epoch,
    )
