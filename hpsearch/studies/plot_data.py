"""Everything the figures of one study are drawn from, read at one moment."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from hpsearch.plots.curves import MAX_CURVES
from hpsearch.plots.data import PlotData, PlotTrial, Span
from hpsearch.spec.definition import Definition
from hpsearch.spec.sections import Direction
from hpsearch.spec.states import TrialState
from hpsearch.storage import attempts, epochs, studies, trials
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.compiled import compiled
from hpsearch.studies.importance import Evaluator, importance

EVALUATORS = {Evaluator.PED_ANOVA: "PED-ANOVA", Evaluator.FANOVA: "fANOVA"}
MAX_POINTS = 200  # of one curve: more than a screen can show


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read; the rest stays empty, which saves much in a study of 10,000 trials.

    Attributes:
        curves: The curves of the latest trials and of the best one.
        ends: The last value of the curves of pruned, failed and running trials.
        spans: Attempts.
        importance: Which parameters matter, and how that is evaluated.
    """

    curves: bool = False
    ends: bool = False
    spans: bool = False
    importance: Evaluator | None = None


EVERYTHING = Wanted(curves=True, ends=True, spans=True, importance=Evaluator.PED_ANOVA)


def plot_data(database: Database, name: str, wanted: Wanted = EVERYTHING) -> PlotData:
    """Return a study as figures want it.

    Raises:
        StudyNotFound: There is none of this name.
        ServiceDown: fANOVA took too long.
    """
    with database.read() as tx:
        study = studies.get_study(tx, name)
        definition = compiled(study)
        shown = _trials(tx, study, definition, wanted)
    told = importance(database, name, wanted.importance) if wanted.importance else None
    return PlotData(
        study=study.name,
        metrics=tuple(objective.metric for objective in definition.objectives),
        directions=tuple(objective.direction for objective in definition.objectives),
        curve_metric=definition.goal_metric,
        domains=definition.space.domains,
        trials=shown,
        importance=told.shares if told else {},
        importance_by=EVALUATORS[told.evaluator] if told else "",
        importance_note=told.note if told else "",
    )


def parameter_names(database: Database, name: str) -> tuple[str, ...]:
    """Return every parameter a study's trials can have.

    Raises:
        StudyNotFound: There is none of this name.
    """
    with database.read() as tx:
        return tuple(compiled(studies.get_study(tx, name)).space.domains)


def _trials(
    tx: Transaction, study: StudyRecord, definition: Definition, wanted: Wanted
) -> list[PlotTrial]:
    numbers = trials.numbers(tx, study.study_id)
    records = trials.by_numbers(tx, study.study_id, numbers)
    ids = [record.trial_id for record in records]
    params, values = trials.read_params(tx, ids), trials.read_values(tx, ids)
    sign = -1.0 if definition.objectives[0].direction is Direction.MAXIMIZE else 1.0
    complete = [r for r in records if r.state is TrialState.COMPLETE and values.get(r.trial_id)]
    best = min(complete, key=lambda r: sign * values[r.trial_id][0], default=None)
    drawn = {r.number for r in records if wanted.ends and r.state is not TrialState.COMPLETE}
    if wanted.curves:
        begun = [r.number for r in records if r.state is not TrialState.WAITING]
        drawn |= {*begun[-MAX_CURVES:], *([best.number] if best else [])}
    curves = _curves(tx, study, definition.goal_metric, drawn)
    spans = _spans(tx, study, now(tx)) if wanted.spans else {}
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
    tx: Transaction, study: StudyRecord, metric: str, numbers: set[int]
) -> dict[int, list[tuple[int, float]]]:
    curves: dict[int, list[tuple[int, float]]] = defaultdict(list)
    if not numbers:
        return curves
    for view in epochs.read_epochs(tx, study.study_id, numbers=numbers):
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
