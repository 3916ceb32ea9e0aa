"""``/v1/studies/{name}/trials`` and the best of them."""

from fastapi import APIRouter, Response

from hpsearch.api import shapes
from hpsearch.api.examples import TRIAL
from hpsearch.api.params import StudyName, TrialFilterOf, TrialNumber
from hpsearch.api.services import ServicesOf
from hpsearch.api.wire import JsonResponse, plain
from hpsearch.studies import read

router = APIRouter(tags=["trials"])


@router.get("/v1/studies/{name}/trials", response_model=shapes.TrialList)
def list_trials(services: ServicesOf, name: StudyName, query: TrialFilterOf) -> Response:
    """List trials; `order_by=value` puts the best first."""
    views, next_page_token = read.list_trials(
        services.database,
        name,
        state=query.state,
        origin=query.origin,
        order_by=query.order_by,
        limit=query.limit,
        page_token=query.page_token,
    )
    return JsonResponse({"trials": plain(views), "next_page_token": next_page_token})


@router.get(
    "/v1/studies/{name}/trials/{number}",
    response_model=shapes.Trial,
    responses={200: {"content": {"application/json": {"example": TRIAL}}}},
)
def get_trial(services: ServicesOf, name: StudyName, number: TrialNumber) -> Response:
    """Return a trial with every value it trains with and all its attempts."""
    return JsonResponse(plain(read.get_trial(services.database, name, number)))


@router.get("/v1/studies/{name}/best-trials", response_model=shapes.TrialList)
def list_best_trials(services: ServicesOf, name: StudyName) -> Response:
    """List the best trial, or the Pareto front where there are several objectives."""
    views = read.best_trials(services.database, name)
    return JsonResponse({"trials": plain(views), "next_page_token": None})
