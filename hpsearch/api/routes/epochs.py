"""Learning curves: one trial's epochs, or those of many trials."""

from fastapi import APIRouter, Response

from hpsearch.api import shapes
from hpsearch.api.examples import EPOCHS
from hpsearch.api.params import CurveFilterOf, PageOf, StudyName, TrialNumber
from hpsearch.api.services import ServicesOf
from hpsearch.api.wire import JsonResponse, epoch
from hpsearch.studies import read

router = APIRouter(tags=["epochs"])


@router.get(
    "/v1/studies/{name}/trials/{number}/epochs",
    response_model=shapes.EpochList,
    responses={200: {"content": {"application/json": {"example": EPOCHS}}}},
)
def list_trial_epochs(
    services: ServicesOf, name: StudyName, number: TrialNumber, query: PageOf
) -> Response:
    """List everything measured in each epoch of a trial."""
    views, next_page_token = read.trial_epochs(
        services.database, name, number, limit=query.limit, page_token=query.page_token
    )
    rows = [epoch(view, with_number=False) for view in views]
    return JsonResponse({"epochs": rows, "next_page_token": next_page_token})


@router.get("/v1/studies/{name}/epochs", response_model=shapes.EpochList)
def list_study_epochs(services: ServicesOf, name: StudyName, query: CurveFilterOf) -> Response:
    """List the curves of many trials, each epoch with its trial's number, down-sampled.

    A page ends after `limit` trials, or sooner, at about 20,000 epochs read; a trial is never cut.
    """
    views, next_page_token = read.study_epochs_page(
        services.database,
        name,
        metric=query.metric,
        numbers=query.number,
        points=query.points,
        limit=query.limit,
        page_token=query.page_token,
    )
    rows = [epoch(view, with_number=True) for view in views]
    return JsonResponse({"epochs": rows, "next_page_token": next_page_token})
