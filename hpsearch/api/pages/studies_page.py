"""``/`` and ``/compare``: what is searched, and studies side by side."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from hpsearch.api.pages.render import render_page
from hpsearch.api.pages.study_pages import objective_metrics
from hpsearch.api.params import Parameters, StudyFilterOf, Text
from hpsearch.api.services import ServicesOf
from hpsearch.spec.states import StudyState
from hpsearch.spec.views import StudyView
from hpsearch.storage.database import Database
from hpsearch.studies import read
from hpsearch.studies.compare import Course, courses

router = APIRouter(include_in_schema=False)

MAX_COMPARED = 8  # as many colours are told apart


class ComparedStudies(Parameters):
    """Which studies stand side by side."""

    study: list[Text] = Field([], max_length=MAX_COMPARED, description="names")


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
    context = {
        "studies": views,
        "query": query,
        "states": list(StudyState),
        "next_page_token": next_page_token,
        "data": {"live": [view.name for view in views if not view.state.has_ended]},
    }
    return render_page("studies.html", context)


@router.get("/compare")
def compare_studies_page(
    services: ServicesOf, query: Annotated[ComparedStudies, Query()]
) -> Response:
    """Show studies side by side: how soon they found what, and in what they differ."""
    views = [read.get_study(services.database, name) for name in dict.fromkeys(query.study)]
    everything, _ = read.list_studies(services.database, limit=200)
    context = {
        "studies": views,
        "choices": [view.name for view in everything],
        "chosen": {view.name for view in views},
        "rows": _differences(views),
        "objectives": {view.name: objective_metrics(view) for view in views},
        "data": {"charts": _charts(services.database, views)},
    }
    return render_page("compare_studies.html", context)


def _charts(database: Database, views: list[StudyView]) -> list[dict[str, Any]]:
    """Return one chart per first objective: the best value so far by finished trials."""
    by_metric: dict[tuple[str, str], list[tuple[StudyView, Course]]] = {}
    for view, course in zip(views, courses(database, [v.name for v in views]), strict=True):
        objective = view.definition["objectives"][0]
        by_metric.setdefault((objective["metric"], objective["direction"]), []).append(
            (view, course)
        )
    return [
        {
            "title": f"Best {metric} so far",
            "direction": direction,
            "x": "complete trials",
            "series": [
                {"label": view.name, "points": [[i + 1, y] for i, y in enumerate(course.best)]}
                for view, course in found
            ],
        }
        for (metric, direction), found in by_metric.items()
    ]


def _differences(views: list[StudyView]) -> list[tuple[str, list[str], bool]]:
    """Return every field of the definitions: where, each study's value, whether they differ."""
    flat = [_flat(view.definition) for view in views]
    paths = list(dict.fromkeys(path for each in flat for path in each))
    rows = [(path, [each.get(path, "–") for each in flat]) for path in paths if path != "name"]
    return [(path, values, len(set(values)) > 1) for path, values in rows]


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict) and not {"low", "choices"} & set(value):
        found: dict[str, str] = {}
        for key, item in value.items():
            found |= _flat(item, f"{path}.{key}" if path else key)
        return found
    if isinstance(value, dict):
        text = ", ".join(f"{key} {_short(item)}" for key, item in value.items())
        return {path: text}
    return {path: _short(value)}


def _short(value: Any) -> str:
    if isinstance(value, dict):
        named = (value.get(key) for key in ("label", "name", "family", "metric"))
        return next((str(name) for name in named if name), str(value))
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value) or "none"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
