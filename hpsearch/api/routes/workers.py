"""``/v1/workers``: who trains."""

from fastapi import APIRouter, Response

from hpsearch.api import shapes
from hpsearch.api.services import ServicesOf
from hpsearch.api.wire import JsonResponse, plain
from hpsearch.studies.crew import crew

router = APIRouter(tags=["workers"])


@router.get("/v1/workers", response_model=shapes.WorkerList)
def list_workers(services: ServicesOf) -> Response:
    """List the workers that were heard of lately, and what they train."""
    views = crew(services.database)
    return JsonResponse({"workers": plain(views), "next_page_token": None})
