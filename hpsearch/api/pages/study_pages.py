"""``/studies/{name}``: a study as it goes, its figures and its definition."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter, Response
from starlette.responses import RedirectResponse

from hpsearch.api.pages.render import render_page
from hpsearch.api.params import StudyName
from hpsearch.api.services import IdentityOf, ServicesOf
from hpsearch.plots.figures import Kind
from hpsearch.plots.slice import MAX_PANELS, N_COLUMNS, PANEL_HEIGHT_PX
from hpsearch.spec.dump import dump_yaml
from hpsearch.spec.sections import Direction
from hpsearch.spec.states import TrialState
from hpsearch.spec.views import EpochView, StudyView, TrialSummary
from hpsearch.storage.database import Database
from hpsearch.studies import read
from hpsearch.studies.events import current_revision
from hpsearch.studies.plot_data import parameter_names

router = APIRouter(include_in_schema=False)

CURVE_POINTS = 60
N_LATEST = 100  # curves drawn at first, beside the best and the running ones
N_RUNNING = 64
FIGURES = (
    (Kind.HISTORY, "History"),
    (Kind.IMPORTANCE, "Importance"),
    (Kind.PARALLEL, "Parallel coordinates"),
    (Kind.SLICE, "Slices"),
    (Kind.CONTOUR, "Contour"),
    (Kind.EDF, "Distribution"),
    (Kind.TIMELINE, "Timeline"),
)
WHOLE_WIDTH = frozenset({Kind.PARALLEL, Kind.SLICE, Kind.TIMELINE})
FRAME_HEIGHT_PX = 424  # caption and drawing, until the figure says what it takes


@router.get("/studies/{name}")
def study_page(services: ServicesOf, identity: IdentityOf, name: StudyName) -> Response:
    """Show how far a study has come; the page goes on by itself."""
    # read first: what is rendered may be newer, and is told again
    revision = current_revision(services.database, name)
    study = read.get_study(services.database, name)
    trials = _shown(services.database, study)
    metric = goal_metric(study.definition)
    epochs = read.study_epochs(
        services.database,
        name,
        metric=metric,
        numbers=[trial.number for trial in trials],
        points=CURVE_POINTS,
    )
    context = {
        "study": study,
        "can_write": identity.scope != "read",
        "objectives": objective_metrics(study),
        "metrics": _metrics(services.database, study, trials) or [metric],
        "metric": metric,
        "data": {
            "name": name,
            "revision": revision,
            "state": study.state,
            "metric": metric,
            "direction": goal_direction(study.definition),
            "objectives": objective_metrics(study),
            "last_epoch": last_epoch(study.definition),
            "best": [trial.number for trial in study.best_trials],
            "states": {trial.number: trial.state for trial in trials},
            "epochs": {trial.number: trial.epochs for trial in trials},
            "series": series(epochs, metric),
        },
    }
    return render_page("study.html", context)


@router.get("/studies/{name}/plots")
def plots_page(services: ServicesOf, identity: IdentityOf, name: StudyName) -> Response:
    """Show a study's figures, which follow the study."""
    revision = current_revision(services.database, name)
    study = read.get_study(services.database, name)
    parameters = parameter_names(services.database, name)
    n_objectives = len(objective_metrics(study))
    figures = list(FIGURES)
    if n_objectives > 1:
        figures.insert(0, (Kind.PARETO, "Pareto front"))
    if len(parameters) < 2:
        figures = [each for each in figures if each[0] is not Kind.CONTOUR]
    whole = WHOLE_WIDTH | ({Kind.PARETO} if n_objectives > 2 else set())
    context = {
        "study": study,
        "can_write": identity.scope != "read",
        "figures": figures,
        "whole": whole,
        "heights": {Kind.SLICE: _slice_height_px(len(parameters))},
        "usual_height": FRAME_HEIGHT_PX,
        "parameters": parameters,
        "data": {"name": name, "state": study.state, "revision": revision},
    }
    return render_page("plots.html", context)


@router.get("/studies/{name}/definition")
def definition_page(services: ServicesOf, identity: IdentityOf, name: StudyName) -> Response:
    """Show what a study was asked to do, every default filled in."""
    study = read.get_study(services.database, name)
    context = {
        "study": study,
        "can_write": identity.scope != "read",
        "text": dump_yaml(study.definition),
        "data": {"name": name, "state": study.state},
    }
    return render_page("definition.html", context)


@router.get("/dashboard")
def dashboard_page() -> Response:
    """Lead on to Optuna Dashboard."""
    return RedirectResponse("/dashboard/")


def goal_metric(definition: Mapping[str, Any]) -> str:
    """Return the metric whose curve tells most: the first objective measured every epoch."""
    return str(_goal(definition).get("metric", "val_loss"))


def goal_direction(definition: Mapping[str, Any]) -> Direction:
    """Return which way that metric is better."""
    return Direction(_goal(definition).get("direction", Direction.MINIMIZE))


def objective_metrics(study: StudyView) -> list[str]:
    """Return the metrics of a study's objectives."""
    return [str(objective["metric"]) for objective in study.definition["objectives"]]


def last_epoch(definition: Mapping[str, Any]) -> int:
    """Return the most epochs a trial may run."""
    epochs = definition["training"]["epochs"]
    if isinstance(epochs, Mapping):
        return int(max(epochs.get("choices") or [epochs.get("high", 1)]))
    return int(epochs)


def series(epochs: Iterable[EpochView], metric: str) -> dict[int, list[list[Any]]]:
    """Return a metric's curves by trial number, as points of epoch and value."""
    curves: dict[int, list[list[Any]]] = {}
    for view in epochs:
        if metric in view.metrics:
            curves.setdefault(view.number, []).append([view.epoch, view.metrics[metric]])
    return curves


def _slice_height_px(n_parameters: int) -> int:
    n_panels = max(1, min(MAX_PANELS, n_parameters))
    return PANEL_HEIGHT_PX * -(-n_panels // N_COLUMNS) + 64


def _goal(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    objectives: list[Mapping[str, Any]] = definition["objectives"]
    return next((each for each in objectives if str(each["metric"]).startswith("val_")), {})


def _shown(database: Database, study: StudyView) -> list[TrialSummary]:
    """Return the trials whose curves are drawn: running, latest, best; by number."""
    running, _ = read.list_trials(
        database, study.name, state=TrialState.RUNNING, order_by="-number", limit=N_RUNNING
    )
    latest, _ = read.list_trials(database, study.name, order_by="-number", limit=N_LATEST)
    found = {trial.number: trial for trial in (*study.best_trials[:20], *latest, *running)}
    return [found[number] for number in sorted(found)]


def _metrics(database: Database, study: StudyView, trials: Iterable[TrialSummary]) -> list[str]:
    """Return what is measured every epoch, as far as one trial's first epoch tells."""
    begun = next((trial.number for trial in trials if trial.epochs > 0), None)
    if begun is None:
        return []
    page, _ = read.trial_epochs(database, study.name, begun, limit=1)
    return list(page[0].metrics) if page else []
