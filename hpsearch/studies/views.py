"""Records as callers see them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hpsearch.spec.space import ParameterValue
from hpsearch.spec.states import StudyState, TrialState
from hpsearch.spec.views import (
    AttemptView,
    ConfusionView,
    Progress,
    StudyView,
    TrialCounts,
    TrialSummary,
    TrialView,
    Usage,
)
from hpsearch.storage import attempts, tallies, trials
from hpsearch.storage.database import Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialCountsRecord, TrialRecord
from hpsearch.studies.best import best_numbers
from hpsearch.studies.compiled import compiled
from hpsearch.studies.crew import lack_of_workers
from hpsearch.studies.exhaustion import n_expected
from hpsearch.studies.preflight import preflight_seconds, read_preflight

MAX_BEST_SHOWN = 100  # a Pareto front may be as long as the study


def study_view(tx: Transaction, study: StudyRecord) -> StudyView:
    """Return the study with its counts, best trials, progress and usage."""
    counts, at = tallies.count(tx, study), now(tx)
    best = best_numbers(tx, study)[:MAX_BEST_SHOWN]
    definition = study.definition
    return StudyView(
        name=study.name,
        state=study.state,
        state_reason=study.state_reason,
        definition=definition,
        description=definition["description"],
        tags=tuple(definition["tags"]),
        counts=TrialCounts(
            counts.waiting, counts.running, counts.complete, counts.pruned, counts.fail
        ),
        best_trials=tuple(summaries(tx, study, trials.by_numbers(tx, study.study_id, best))),
        progress=_progress(study, counts, at),
        usage=_usage(tx, study),
        warnings=(*study.warnings, *_idle_for_want(tx, study, counts)),
        owner=study.owner,
        weight=definition["weight"],
        created_at=study.created_at,
        updated_at=study.updated_at,
        finished_at=study.finished_at,
        preflight=read_preflight(study),
    )


def _idle_for_want(
    tx: Transaction, study: StudyRecord, counts: TrialCountsRecord
) -> tuple[str, ...]:
    """Return the warning that nobody can train the study, for as long as that is so."""
    if study.state is not StudyState.ACTIVE or counts.running:
        return ()
    return lack_of_workers(tx, study.definition["execution"]["device"])


def summaries(
    tx: Transaction, study: StudyRecord, records: Sequence[TrialRecord]
) -> list[TrialSummary]:
    """Return trials as lists show them, in the order they came."""
    ids = [record.trial_id for record in records]
    params, values = _points(tx, records), trials.read_values(tx, ids)
    return [TrialSummary(**_fields(study, record, params, values)) for record in records]


def trial_view(tx: Transaction, study: StudyRecord, record: TrialRecord) -> TrialView:
    """Return one trial with its resolved config and its attempts."""
    ids = [record.trial_id]
    params, values = _points(tx, [record]), trials.read_values(tx, ids)
    config = None
    if record.has_params:
        config = compiled(study).space.resolve(params.get(record.trial_id, {})).document()
    return TrialView(
        **_fields(study, record, params, values),
        config=config,
        confusion=_confusion(study, record),
        attempts=tuple(
            AttemptView(
                number=attempt.number,
                state=attempt.state,
                worker=attempt.worker,
                device=attempt.device,
                precision=attempt.precision,
                started_at=attempt.started_at,
                finished_at=attempt.finished_at,
                device_seconds=attempt.device_seconds,
            )
            for attempt in attempts.of_trial(tx, record.trial_id)
        ),
    )


def _points(
    tx: Transaction, records: Sequence[TrialRecord]
) -> dict[int, dict[str, ParameterValue]]:
    """Return what was drawn, or asked for and not drawn yet, by trial id."""
    asked = [record.trial_id for record in records if not record.has_params]
    drawn = trials.read_params(tx, [record.trial_id for record in records if record.has_params])
    return drawn | trials.fixed_params(tx, asked)


def _confusion(study: StudyRecord, record: TrialRecord) -> ConfusionView | None:
    if record.confusion is None:
        return None
    examples = tuple(tuple(row) for row in record.confusion)
    return ConfusionView(compiled(study).data.outputs, examples)


def _fields(
    study: StudyRecord,
    record: TrialRecord,
    params: Mapping[int, dict[str, ParameterValue]],
    values: Mapping[int, Sequence[float]],
) -> dict[str, Any]:
    metrics = [objective["metric"] for objective in study.definition["objectives"]]
    is_complete = record.state is TrialState.COMPLETE
    return {
        "number": record.number,
        "state": record.state,
        "origin": record.origin,
        "params": params.get(record.trial_id, {}),
        "values": dict(zip(metrics, values.get(record.trial_id, ()), strict=False))
        if is_complete
        else None,
        "test": record.test if is_complete else None,
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "stopped_early": record.stopped_early,
        "n_parameters": record.n_parameters,
        "device_seconds": record.device_seconds,
        "failure": record.failure,
        "pruned": record.pruned,
        "created_at": record.created_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
    }


def _progress(study: StudyRecord, counts: TrialCountsRecord, at: datetime) -> Progress:
    limits, active_s = study.limits, study.active_seconds(at)
    max_trials: int | None = limits["max_trials"]
    ends = [n for n in (max_trials, n_expected(study, counts.total)) if n is not None]
    n_trials = min(ends, default=None)
    shares = [
        done / limit
        for done, limit in (
            (counts.counted, n_trials),
            (active_s, limits["timeout_s"]),
            (study.device_seconds, limits["device_seconds"]),
        )
        if limit is not None
    ]
    eta_s = None
    if study.state is StudyState.ACTIVE and n_trials is not None and counts.counted >= 2:
        eta_s = max(0, n_trials - counts.counted) * active_s / counts.counted
    return Progress(
        finished=counts.counted,
        max_trials=max_trials,
        fraction=min(1.0, max(shares)) if shares else None,
        eta_s=eta_s,
    )


def _usage(tx: Transaction, study: StudyRecord) -> Usage:
    """Sort device-seconds by what became of them.

    A handed-back attempt belongs to whatever its trial comes to; a lost one is lost.
    """
    sums = tallies.tally(tx, study)
    spent = {
        "completed": sums.seconds.get(TrialState.COMPLETE, 0.0),
        "pruned": sums.seconds.get(TrialState.PRUNED, 0.0),
        "failed": sums.seconds.get(TrialState.FAIL, 0.0),
        "lost": tallies.lost_seconds(tx, study.study_id),
    }
    # what is neither lost nor finished is still running, or waits to go on
    of_trials = study.device_seconds - preflight_seconds(study)
    spent["running"] = max(0.0, of_trials - sum(spent.values()))
    return Usage(
        device_seconds=sum(spent.values()),
        saved=sums.saved_s,
        **spent,
    )
