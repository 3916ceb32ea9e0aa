"""A study as its pruner sees it, and what the pruner forgets of a trial that is rewound."""

from hpsearch.errors import InvalidDefinition
from hpsearch.pruning.base import Needs, Pruner
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.spec.definition import Definition
from hpsearch.storage import trials
from hpsearch.storage.database import Transaction
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialRecord
from hpsearch.studies.compiled import compiled


def judged_study(definition: Definition, study_id: int = 0) -> JudgedStudy:
    """Return the study with the metric of the first per-epoch objective.

    Args:
        definition: The study's definition.
        study_id: The study; not needed where no trial is judged.
    """
    pruner = definition.pruner if isinstance(definition.pruner, Pruner) else None
    return JudgedStudy(
        definition.name,
        definition.goal_direction,
        definition.space.max_epochs,
        study_id,
        attr_prefix=None if pruner is None else pruner.attr_prefix,
        with_complete=pruner is not None and pruner.needs is Needs.CURVES,
        with_trials=pruner is not None and pruner.needs is Needs.TRIALS,
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
    if not isinstance(pruner, Pruner) or pruner.attr_prefix is None:
        return
    judged = judged_study(definition)
    trials.delete_system_attrs(
        tx,
        record.trial_id,
        lambda key: pruner.written_at(key, record.number, judged) > epoch,
    )
