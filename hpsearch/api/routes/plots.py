"""``/v1/studies/{name}/plots/{kind}``, the importances and the report."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from hpsearch.api.pages.figures import figure_page, report_page
from hpsearch.api.params import Parameters, StudyName, Text
from hpsearch.api.services import ServicesOf
from hpsearch.api.wire import JsonResponse, plain
from hpsearch.plots.figures import Kind, draw
from hpsearch.plots.image import png
from hpsearch.studies.importance import Evaluator, importance
from hpsearch.studies.plot_data import Wanted, plot_data
from hpsearch.studies.read import get_study, list_trials

router = APIRouter(tags=["plots"])

N_BEST_IN_REPORT = 10
IN_REPORT = (Kind.HISTORY, Kind.CURVES, Kind.IMPORTANCE, Kind.PARALLEL, Kind.SLICE, Kind.TIMELINE)
WITH_IMPORTANCE = frozenset({Kind.IMPORTANCE, Kind.PARALLEL, Kind.SLICE, Kind.CONTOUR})


class FigureQuery(Parameters):
    """How a figure is wanted."""

    format: Literal["html", "json", "png"] = Field(
        "html", description="png needs an exporter (the package kaleido) on the server"
    )
    x: Text | None = Field(None, description="parameter of a slice, or along a contour")
    y: Text | None = Field(None, description="the contour's other parameter")
    evaluator: Evaluator = Field(
        Evaluator.PED_ANOVA, description="of the importance, which also orders parameters"
    )


class ImportanceQuery(Parameters):
    """How importance is evaluated."""

    evaluator: Evaluator = Evaluator.PED_ANOVA


@router.get("/v1/studies/{name}/plots/{kind}")
def get_plot(
    services: ServicesOf, name: StudyName, kind: Kind, query: Annotated[FigureQuery, Query()]
) -> Response:
    """Return a figure: as a page, as a Plotly document, or as a picture."""
    wanted = Wanted(
        curves=kind is Kind.CURVES,
        ends=kind is Kind.HISTORY,
        spans=kind is Kind.TIMELINE,
        importance=query.evaluator if kind in WITH_IMPORTANCE else None,
    )
    data = plot_data(services.database, name, wanted)
    document = draw(kind, data, x=query.x, y=query.y)
    if query.format == "json":
        return JsonResponse(plain(document))
    if query.format == "png":
        return Response(png(document), media_type="image/png")
    return figure_page(f"{name}: {kind}", document)


@router.get("/v1/studies/{name}/importance")
def get_importance(
    services: ServicesOf, name: StudyName, query: Annotated[ImportanceQuery, Query()]
) -> Response:
    """Return how much of the first objective each parameter explains."""
    return JsonResponse(plain(importance(services.database, name, query.evaluator)))


@router.get("/v1/studies/{name}/report.html")
def get_report(services: ServicesOf, name: StudyName) -> Response:
    """Return the study in one file that needs no server."""
    study = get_study(services.database, name)
    best, _ = list_trials(
        services.database, name, state="COMPLETE", order_by="value", limit=N_BEST_IN_REPORT
    )
    data = plot_data(services.database, name)
    kinds = (*IN_REPORT, Kind.PARETO) if len(data.metrics) > 1 else IN_REPORT
    return report_page(study, best, [draw(kind, data) for kind in kinds])
