"""``/`` and ``/studies/{name}``: what is searched, and how far it has come."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field
from starlette.responses import RedirectResponse

from hpsearch.api.pages.curves import draw_chart
from hpsearch.api.pages.render import render_page
from hpsearch.api.params import StudyFilterOf, StudyName, TrialFilter
from hpsearch.api.services import ServicesOf
from hpsearch.studies import read

router = APIRouter(include_in_schema=False)

REFRESH_S = 5
IDLE_REFRESH_S = 30
CURVE_POINTS = 60
CHART_PX = (720, 220)


class TrialTable(TrialFilter):
    """Which trials the page shows: the best first, unless asked otherwise."""

    limit: int = Field(50, ge=1, le=200)
    order_by: Literal["number", "-number", "value", "-value"] = "value"


@router.get("/")
def studies_page(services: ServicesOf, query: StudyFilterOf) -> Response:
    """Show the studies."""
    views, next_page_token = read.list_studies(
        services.database,
        state=query.state,
        tag=query.tag,
        limit=query.limit,
        page_token=query.page_token,
    )
    is_busy = any(not view.state.has_ended for view in views)
    context = {
        "studies": views,
        "next_page_token": next_page_token,
        "refresh_s": REFRESH_S if is_busy else IDLE_REFRESH_S,
    }
    return render_page("studies.html", context)


@router.get("/studies/{name}")
def study_page(
    services: ServicesOf, name: StudyName, query: Annotated[TrialTable, Query()]
) -> Response:
    """Show a study with its trials and their curves."""
    study = read.get_study(services.database, name)
    trials, next_page_token = read.list_trials(
        services.database,
        name,
        state=query.state,
        origin=query.origin,
        order_by=query.order_by,
        limit=query.limit,
        page_token=query.page_token,
    )
    metric = goal_metric(study.definition)
    epochs = read.study_epochs(
        services.database,
        name,
        metric=metric,
        numbers=[trial.number for trial in trials],
        points=CURVE_POINTS,
    )
    width, height = CHART_PX
    context = {
        "study": study,
        "trials": trials,
        "objectives": [objective["metric"] for objective in study.definition["objectives"]],
        "best": {trial.number for trial in study.best_trials},
        "chart": draw_chart(epochs, metric, width=width, height=height),
        "query": query,
        "next_page_token": next_page_token,
        "refresh_s": None if study.state.has_ended else REFRESH_S,
    }
    return render_page("study.html", context)


@router.get("/dashboard")
def dashboard_page() -> Response:
    """Lead on to Optuna Dashboard."""
    return RedirectResponse("/dashboard/")


def goal_metric(definition: Mapping[str, Any]) -> str:
    """Return the metric whose curve tells most: the first objective measured every epoch."""
    metrics = [str(objective["metric"]) for objective in definition["objectives"]]
    return next((metric for metric in metrics if metric.startswith("val_")), "val_loss")
