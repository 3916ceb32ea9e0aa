"""``/v1/schema``: what a definition may hold."""

from typing import Any

from fastapi import APIRouter, Response

from hpsearch.api.services import ServicesOf
from hpsearch.api.wire import JsonResponse
from hpsearch.spec.schema import json_schema

router = APIRouter(tags=["definitions"])


@router.get("/v1/schema", response_model=dict[str, Any])
def get_schema(services: ServicesOf) -> Response:
    """Return the JSON schema of a study definition, installed plugins included."""
    return JsonResponse(json_schema(services.catalog))
