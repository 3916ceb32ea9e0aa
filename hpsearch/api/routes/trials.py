"""``/v1/studies/{name}/trials`` and the best of them."""

from fastapi import APIRouter, Response
from starlette.status import HTTP_201_CREATED

from hpsearch.api import shapes
from hpsearch.api.examples import TRIAL
from hpsearch.api.params import IdempotencyKey, StudyName, TrialFilterOf, TrialNumber
from hpsearch.api.services import ServicesOf
from hpsearch.api.texts import page
from hpsearch.api.wire import JsonResponse, TextResponse, plain
from hpsearch.api.wishes import WISH_BODY, TrialWishOf
from hpsearch.studies import enqueue, read, stop_trial

router = APIRouter(tags=["trials"])


@router.get("/v1/studies/{name}/trials", response_model=shapes.TrialList)
def list_trials(services: ServicesOf, name: StudyName, query: TrialFilterOf) -> Response:
    """List trials; `order_by=value` puts the best first."""
    texts, next_page_token = read.list_trials_as(
        services.texts.trials,
        services.database,
        name,
        state=query.state,
        origin=query.origin,
        order_by=query.order_by,
        limit=query.limit,
        page_token=query.page_token,
    )
    return TextResponse(page("trials", texts, next_page_token))


@router.get(
    "/v1/studies/{name}/trials/{number}",
    response_model=shapes.Trial,
    responses={200: {"content": {"application/json": {"example": TRIAL}}}},
)
def get_trial(services: ServicesOf, name: StudyName, number: TrialNumber) -> Response:
    """Return a trial with every value it trains with and all its attempts."""
    return JsonResponse(plain(read.get_trial(services.database, name, number)))


@router.post(
    "/v1/studies/{name}/trials",
    status_code=HTTP_201_CREATED,
    response_model=shapes.TrialsAdded,
    openapi_extra=WISH_BODY,
)
def add_trials(
    services: ServicesOf, name: StudyName, wish: TrialWishOf, key: IdempotencyKey
) -> Response:
    """Add trials at a point of your own or of another trial; they are trained next.

    Parameters left out are sampled. A point outside the space is 422; 409 once the study is
    ending, or where `limits.max_trials` leaves no room.
    """
    added = enqueue.enqueue(
        services.database,
        name,
        params=wish.params,
        from_trial=wish.from_trial,
        count=wish.count,
        request_key=key,
    )
    services.janitor.nudge()
    return JsonResponse({"trials": plain(added)}, HTTP_201_CREATED)


@router.post("/v1/studies/{name}/trials/{number}:stop", response_model=shapes.Trial)
def stop_one_trial(services: ServicesOf, name: StudyName, number: TrialNumber) -> Response:
    """End a trial at its next epoch as COMPLETE; a finished one is left as it is."""
    return JsonResponse(plain(stop_trial.stop_trial(services.database, name, number)))


@router.post(
    "/v1/studies/{name}/trials/{number}:retry",
    status_code=HTTP_201_CREATED,
    response_model=shapes.TrialInList,
)
def retry_trial(
    services: ServicesOf, name: StudyName, number: TrialNumber, key: IdempotencyKey
) -> Response:
    """Add a trial at the point of one that failed; `limits.max_trials` grows by one."""
    added = enqueue.retry(services.database, name, number, request_key=key)
    services.janitor.nudge()
    return JsonResponse(plain(added), HTTP_201_CREATED)


@router.get("/v1/studies/{name}/best-trials", response_model=shapes.TrialList)
def list_best_trials(services: ServicesOf, name: StudyName) -> Response:
    """List the best trial, or the Pareto front where there are several objectives."""
    views = read.best_trials(services.database, name)
    return JsonResponse({"trials": plain(views), "next_page_token": None})
