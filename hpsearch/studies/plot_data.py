"""Everything the figures of one study are drawn from, read at one moment."""

from collections import defaultdict
from datetime import datetime

from hpsearch.plots.data import PlotData, PlotTrial, Span
from hpsearch.spec.states import TrialState
from hpsearch.storage import attempts, epochs, studies, trials
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.compiled import compiled
from hpsearch.studies.importance import importance

MAX_POINTS = 200  # of one curve: more than a screen can show


def plot_data(database: Database, name: str, *, with_importance: bool = False) -> PlotData:
    """Return a study as figures want it.

    Args:
        database: Where it lives.
        name: The study.
        with_importance: Also evaluate which parameters matter, to put those first.

    Raises:
        StudyNotFound: There is none of this name.
    """
    with database.read() as tx:
        study = studies.get_study(tx, name)
        definition = compiled(study)
        shown = _trials(tx, study, definition.goal_metric)
    return PlotData(
        study=study.name,
        metrics=tuple(objective.metric for objective in definition.objectives),
        directions=tuple(objective.direction for objective in definition.objectives),
        curve_metric=definition.goal_metric,
        domains=definition.space.domains,
        trials=shown,
        importance=importance(database, name).shares if with_importance else {},
    )


def _trials(tx: Transaction, study: StudyRecord, metric: str) -> list[PlotTrial]:
    numbers = trials.numbers(tx, study.study_id)
    records = trials.by_numbers(tx, study.study_id, numbers)
    ids = [record.trial_id for record in records]
    params, values = trials.read_params(tx, ids), trials.read_values(tx, ids)
    curves = _curves(tx, study, metric)
    spans = _spans(tx, study, now(tx))
    shown = []
    for record in records:
        of_trial = values.get(record.trial_id)
        curve = curves.get(record.number, [])
        is_complete = record.state is TrialState.COMPLETE
        last = curve[-1][1] if curve else None
        shown.append(
            PlotTrial(
                number=record.number,
                state=record.state,
                params=params.get(record.trial_id, {}),
                values=tuple(of_trial) if is_complete and of_trial else None,
                last_value=of_trial[0] if of_trial else last,
                curve=_thinned(curve),
                spans=tuple(spans.get(record.number, ())),
            )
        )
    return shown


def _curves(
    tx: Transaction, study: StudyRecord, metric: str
) -> dict[int, list[tuple[int, float]]]:
    curves: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for view in epochs.read_epochs(tx, study.study_id):
        if metric in view.metrics:
            curves[view.number].append((view.epoch, view.metrics[metric]))
    return curves


def _thinned(curve: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    if len(curve) <= MAX_POINTS:
        return tuple(curve)
    last, steps = len(curve) - 1, MAX_POINTS - 1
    return tuple(curve[i * last // steps] for i in range(MAX_POINTS))


def _spans(tx: Transaction, study: StudyRecord, at: datetime) -> dict[int, list[Span]]:
    spans: dict[int, list[Span]] = defaultdict(list)
    for attempt in attempts.of_study(tx, study.study_id):
        ended = attempt.finished_at or at
        spans[attempt.trial_number].append(
            Span(attempt.worker, attempt.started_at, ended, attempt.state)
        )
    return spans
