"""Change a study while it is there: limits, weight, description, tags."""

from collections.abc import Mapping
from typing import Any

from hpsearch.errors import FieldError, InvalidDefinition, RequestInvalid
from hpsearch.spec.states import StateReason, StudyState
from hpsearch.spec.views import StudyView
from hpsearch.storage import studies, tallies
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.activate import become_active
from hpsearch.studies.compiled import parsed_again
from hpsearch.studies.settle import limit_that_struck, settle
from hpsearch.studies.target import target_reached
from hpsearch.studies.views import study_view

CHANGEABLE = ("limits", "weight", "description", "tags")
_ENDING_LIMITS = ("max_trials", "max_failed_trials", "timeout_s", "device_seconds")
_BY_LIMIT = {
    StateReason.MAX_TRIALS,
    StateReason.MAX_FAILED_TRIALS,
    StateReason.TIMEOUT,
    StateReason.DEVICE_BUDGET,
}


def change_study(database: Database, name: str, patch: Mapping[str, Any]) -> StudyView:
    """Apply a JSON merge patch to a study; null removes a limit.

    Raising or removing a limit that has struck makes the study ACTIVE again. Lowering one below
    what has begun puts trials back to WAITING at the end of their epochs.

    Args:
        database: Where the study lives.
        name: The study.
        patch: Fields of the definition, ``{"limits": {"max_trials": 50}}``.

    Raises:
        StudyNotFound: There is no such study.
        RequestInvalid: All wrong fields of the patch.
    """
    with database.write() as tx:
        study = studies.lock_by_name(tx, name)
        return study_view(tx, apply_patch(tx, study, patch))


def apply_patch(tx: Transaction, study: StudyRecord, patch: Mapping[str, Any]) -> StudyRecord:
    """Do as :func:`change_study` with a locked study, in the caller's transaction."""
    errors = [_refusal(key, value) for key, value in patch.items() if key not in CHANGEABLE]
    try:
        definition = parsed_again(study, _merged(study.definition, patch))
    except InvalidDefinition as error:
        raise RequestInvalid([*errors, *error.errors]) from error
    if errors:
        raise RequestInvalid(errors)
    if definition.document == study.definition:
        return study
    has_more = _is_raised(study.limits, definition.document["limits"])
    news = [text for text in definition.warnings if text not in study.warnings]
    studies.update_study(
        tx, study, definition=definition.document, warnings=[*study.warnings, *news]
    )
    studies.raise_revision(tx, study)
    changed = studies.find_study(tx, study.uuid) or study
    if has_more and _goes_on(tx, changed):
        changed = become_active(tx, changed)
        return settle(tx, changed, reason=target_reached(tx, changed))
    return settle(tx, changed)


def _merged(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for key, value in patch.items():
        if key not in CHANGEABLE:
            continue
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            fields = {**merged[key], **value}
            merged[key] = {field: item for field, item in fields.items() if item is not None}
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def _refusal(key: str, value: Any) -> FieldError:
    message = f"cannot be changed; a study's {', '.join(CHANGEABLE)} can"
    return FieldError((key,), message, value)


def _is_raised(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return any(
        old[name] is not None and (new[name] is None or new[name] > old[name])
        for name in _ENDING_LIMITS
    )


def _goes_on(tx: Transaction, study: StudyRecord) -> bool:
    """Return whether a study that a limit has ended, or is ending, is free of it now."""
    if study.state is StudyState.COMPLETED:
        return True
    if study.state not in {StudyState.STOPPING, StudyState.FAILED}:
        return False
    if study.state_reason not in _BY_LIMIT:
        return False
    return limit_that_struck(study, tallies.count(tx, study), now(tx)) is None
