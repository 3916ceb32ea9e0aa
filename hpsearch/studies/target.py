"""Whether a trial has reached every target of its study."""

from collections.abc import Sequence

from hpsearch.spec.sections import Direction
from hpsearch.spec.states import StateReason
from hpsearch.storage import trials
from hpsearch.storage.database import Transaction
from hpsearch.storage.studies import StudyRecord


def target_reached(tx: Transaction, study: StudyRecord) -> StateReason | None:
    """Return TARGET_REACHED if one COMPLETE trial of a locked study meets all targets."""
    if not _targets(study):
        return None
    found = trials.complete_values(tx, study.study_id)
    is_reached = any(meets_targets(study, values) for _, values in found)
    return StateReason.TARGET_REACHED if is_reached else None


def meets_targets(study: StudyRecord, values: Sequence[float]) -> bool:
    """Return whether there are targets and these values, one per objective, meet them all."""
    targets = _targets(study)
    return bool(targets) and all(
        i < len(values) and _meets(values[i], target, direction)
        for i, target, direction in targets
    )


def _targets(study: StudyRecord) -> list[tuple[int, float, Direction]]:
    return [
        (i, objective["target_value"], Direction(objective["direction"]))
        for i, objective in enumerate(study.definition["objectives"])
        if objective["target_value"] is not None
    ]


def _meets(value: float, target: float, direction: Direction) -> bool:
    return value >= target if direction is Direction.MAXIMIZE else value <= target
