"""``/v1/studies``: create, check, look at, steer and delete."""

import shutil
from typing import Any

from fastapi import APIRouter, Response
from starlette.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from hpsearch.api import shapes
from hpsearch.api.bodies import DefinitionBodyOf
from hpsearch.api.examples import DEFINITION_BODY, STUDY, VALIDATION
from hpsearch.api.params import IdempotencyKey, StudyFilterOf, StudyName
from hpsearch.api.services import IdentityOf, ServicesOf
from hpsearch.api.wire import JsonResponse, TextResponse, plain
from hpsearch.api.wishes import PATCH_BODY, PatchOf
from hpsearch.spec.views import StudyView
from hpsearch.studies import change, control, create, read
from hpsearch.studies.crew import preview_crew
from hpsearch.studies.warm_start import preview_warm_start

router = APIRouter(tags=["studies"])

_STUDY: dict[int | str, dict[str, Any]] = {
    200: {"model": shapes.Study, "content": {"application/json": {"example": STUDY}}}
}


@router.post(
    "/v1/studies",
    status_code=HTTP_201_CREATED,
    response_model=shapes.Study,
    responses={
        201: {"content": {"application/json": {"example": STUDY}}},
        200: {"model": shapes.Study, "description": "a replay: the study of the first call"},
    },
    openapi_extra=DEFINITION_BODY,
)
def create_study(
    services: ServicesOf, identity: IdentityOf, body: DefinitionBodyOf, key: IdempotencyKey
) -> Response:
    """Create a study from its definition; it starts at once.

    Every wrong field is named in one answer. With an `Idempotency-Key` the call may be repeated
    safely.
    """
    view, is_new = create.create_study(
        services.database,
        body.parse(services.catalog),
        owner=identity.owner,
        idempotency_key=key,
        body_sha256=body.sha256,
    )
    services.janitor.nudge()
    return _answer(view, HTTP_201_CREATED if is_new else HTTP_200_OK)


@router.post(
    "/v1/studies:validate",
    response_model=shapes.Validation,
    responses={200: {"content": {"application/json": {"example": VALIDATION}}}},
    openapi_extra=DEFINITION_BODY,
)
def validate_definition(services: ServicesOf, body: DefinitionBodyOf) -> Response:
    """Check a definition, fill in all defaults, create nothing."""
    definition = body.parse(services.catalog)
    return JsonResponse(
        {
            "definition": plain(definition.document),
            "size": definition.space.size(),
            "warnings": [
                *definition.warnings,
                *preview_warm_start(services.database, definition),
                *preview_crew(services.database, definition),
            ],
        }
    )


@router.get("/v1/studies", response_model=shapes.StudyList)
def list_studies(services: ServicesOf, query: StudyFilterOf) -> Response:
    """List studies."""
    views, next_page_token = read.list_studies(
        services.database,
        state=query.state,
        tag=query.tag,
        limit=query.limit,
        page_token=query.page_token,
    )
    return JsonResponse({"studies": plain(views), "next_page_token": next_page_token})


@router.get("/v1/studies/{name}", response_model=shapes.Study, responses=_STUDY)
def get_study(services: ServicesOf, name: StudyName) -> Response:
    """Return a study with its counts, progress and best trials."""
    view = services.streams.views.look(services.database, name)
    return TextResponse(services.texts.study(view))


@router.patch(
    "/v1/studies/{name}",
    response_model=shapes.Study,
    responses=_STUDY,
    openapi_extra=PATCH_BODY,
)
def change_study(services: ServicesOf, name: StudyName, patch: PatchOf) -> Response:
    """Change limits, weight, description or tags: a JSON merge patch, null removes a limit.

    Possible at any moment. Raising a limit of a COMPLETED study makes it ACTIVE.
    """
    view = change.change_study(services.database, name, patch)
    services.janitor.nudge()
    return _answer(view)


@router.delete("/v1/studies/{name}", status_code=HTTP_204_NO_CONTENT)
def delete_study(services: ServicesOf, name: StudyName) -> Response:
    """Delete a study with its trials and artifacts; 409 while it is ACTIVE."""
    for folder in control.delete_study(services.database, name):
        shutil.rmtree(services.artifacts_dir / folder, ignore_errors=True)
    return Response(status_code=HTTP_204_NO_CONTENT)


@router.post("/v1/studies/{name}:pause", response_model=shapes.Study, responses=_STUDY)
def pause_study(services: ServicesOf, name: StudyName) -> Response:
    """Put running trials back by the end of their epochs; nothing is lost."""
    return _answer(control.pause(services.database, name))


@router.post("/v1/studies/{name}:resume", response_model=shapes.Study, responses=_STUDY)
def resume_study(services: ServicesOf, name: StudyName) -> Response:
    """Let a PAUSED, STOPPING or STOPPED study go on."""
    view = control.resume(services.database, name)
    services.janitor.nudge()
    return _answer(view)


@router.post("/v1/studies/{name}:stop", response_model=shapes.Study, responses=_STUDY)
def stop_study(services: ServicesOf, name: StudyName) -> Response:
    """Start no more trials and let the running ones finish."""
    return _answer(control.stop(services.database, name))


@router.post("/v1/studies/{name}:cancel", response_model=shapes.Study, responses=_STUDY)
def cancel_study(services: ServicesOf, name: StudyName) -> Response:
    """End running trials by the end of their epochs, as FAIL `cancelled`."""
    return _answer(control.cancel(services.database, name))


def _answer(view: StudyView, status: int = HTTP_200_OK) -> Response:
    headers = {"Location": f"/v1/studies/{view.name}"} if status == HTTP_201_CREATED else None
    return JsonResponse(plain(view), status, headers=headers)
