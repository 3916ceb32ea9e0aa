"""Trials that users ask for: a point of their own, the point of another trial, one more try."""

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.errors import FieldError, RequestInvalid, TrialNotFound, WrongState
from hpsearch.spec.space import ParameterValue
from hpsearch.spec.states import Origin, StateReason, StudyState, TrialState
from hpsearch.spec.views import TrialSummary
from hpsearch.storage import studies, tallies, trials
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialRecord
from hpsearch.studies.activate import become_active
from hpsearch.studies.change import apply_patch
from hpsearch.studies.compiled import compiled
from hpsearch.studies.point import checked_point
from hpsearch.studies.views import summaries

MAX_COUNT = 1000  # trials of one request


def enqueue(
    database: Database,
    name: str,
    *,
    params: Mapping[str, Any] | None = None,
    from_trial: int | None = None,
    count: int = 1,
    request_key: str | None = None,
) -> list[TrialSummary]:
    """Add WAITING trials at a point; workers take them before they sample new ones.

    Args:
        database: Where the study lives.
        name: The study.
        params: Values by parameter; missing ones are sampled when the trial starts.
        from_trial: The number of a trial with the same point, instead of ``params``.
        count: How many trials; same point, other seeds.
        request_key: The same key again returns the trials it made the first time.

    Raises:
        StudyNotFound: There is no such study.
        RequestInvalid: The point is outside the space; all wrong parameters are named.
        WrongState: The study is ending or has ended, or its limit leaves no room.
    """
    with database.write() as tx:
        study = studies.lock_by_name(tx, name)
        known = _made_before(tx, study, request_key)
        if known:
            return summaries(tx, study, known)
        if study.state not in {StudyState.ACTIVE, StudyState.PAUSED}:
            raise WrongState("add trials to", name, study.state)
        point = _point(tx, study, params, from_trial)
        _check_count(tx, study, count)
        return _add(tx, study, [point] * count, Origin.USER, request_key)


def retry(
    database: Database, name: str, number: int, *, request_key: str | None = None
) -> TrialSummary:
    """Add a trial at the point of one that failed; ``max_trials`` grows by one.

    A COMPLETED study goes on for it.

    Args:
        database: Where the study lives.
        name: The study.
        number: The trial that failed.
        request_key: The same key again returns the trial it made the first time.

    Raises:
        StudyNotFound: There is no such study.
        TrialNotFound: It has no such trial.
        WrongState: The trial is not FAIL, or the study has ended otherwise.
    """
    with database.write() as tx:
        study = studies.lock_by_name(tx, name)
        known = _made_before(tx, study, request_key)
        if known:
            return summaries(tx, study, known)[0]
        verb = f"retry trial {number} of"
        if study.state in {StudyState.STOPPED, StudyState.CANCELLED, StudyState.FAILED}:
            raise WrongState(verb, name, study.state)
        failed = trials.find_trial(tx, study.study_id, number)
        if failed is None:
            raise TrialNotFound(name, number)
        if failed.state is not TrialState.FAIL:
            raise WrongState(verb, name, failed.state, f"the trial is {failed.state}, not FAIL")
        (added,) = _add(tx, study, [_params_of(tx, failed)], Origin.RETRY, request_key)
        max_trials = study.limits["max_trials"]
        if max_trials is not None:
            apply_patch(tx, study, {"limits": {"max_trials": max_trials + 1}})
        elif study.state_reason == StateReason.SEARCH_SPACE_EXHAUSTED and study.state.has_ended:
            become_active(tx, study)
        return added


def _add(
    tx: Transaction,
    study: StudyRecord,
    points: Sequence[Mapping[str, ParameterValue]],
    origin: Origin,
    request_key: str | None,
) -> list[TrialSummary]:
    first = tallies.count(tx, study).total
    trials.enqueue_trials(
        tx,
        study.study_id,
        first_number=first,
        points=points,
        origin=origin,
        request_key=request_key,
        revision=studies.raise_revision(tx, study),
        at=now(tx),
    )
    numbers = range(first, first + len(points))
    return summaries(tx, study, trials.by_numbers(tx, study.study_id, numbers))


def _made_before(
    tx: Transaction, study: StudyRecord, request_key: str | None
) -> list[TrialRecord]:
    return [] if request_key is None else trials.of_request(tx, study.study_id, request_key)


def _check_count(tx: Transaction, study: StudyRecord, count: int) -> None:
    if not 1 <= count <= MAX_COUNT:
        raise RequestInvalid([FieldError(("count",), f"must be 1 to {MAX_COUNT}", count)])
    counts, limit = tallies.count(tx, study), study.limits["max_trials"]
    if limit is None:
        return
    room = max(0, limit - counts.counted - counts.running - counts.waiting)
    if count > room:
        why = f"limits.max_trials is {limit}, which leaves room for {room}; raise it first"
        raise WrongState(f"add {count} trials to", study.name, study.state, why)


def _point(
    tx: Transaction, study: StudyRecord, params: Mapping[str, Any] | None, from_trial: int | None
) -> dict[str, ParameterValue]:
    if (params is None) == (from_trial is None):
        message = "give either params or from_trial"
        raise RequestInvalid([FieldError(("params",), message, params)])
    if from_trial is None:
        return checked_point(compiled(study).space, params or {})
    trial = trials.find_trial(tx, study.study_id, from_trial)
    if trial is None:
        message = f"the study has no trial {from_trial}"
        raise RequestInvalid([FieldError(("from_trial",), message, from_trial)])
    point = _params_of(tx, trial)
    if not trial.has_params and not point and not compiled(study).space.is_empty:
        message = f"trial {from_trial} has no parameters yet"
        raise RequestInvalid([FieldError(("from_trial",), message, from_trial)])
    return point


def _params_of(tx: Transaction, trial: TrialRecord) -> dict[str, ParameterValue]:
    ids = [trial.trial_id]
    found = trials.read_params(tx, ids) if trial.has_params else trials.fixed_params(tx, ids)
    return found.get(trial.trial_id, {})
