"""The OpenAPI description: what FastAPI finds, plus tokens, problems and an introduction."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from hpsearch.api.auth import OPEN_PATHS
from hpsearch.api.examples import PROBLEM
from hpsearch.api.shapes import Problem

VERSION = version("hpsearch")

INTRODUCTION = """\
A hyperparameter search service. A *study* is one search, described by a definition; a *trial*
is one setting being trained.

Send `Authorization: Bearer <token>` with every call but the health checks. Times are RFC 3339 in
UTC, durations end in `_s` or `_seconds`. Lists come in pages: pass `next_page_token` as
`page_token` until it is null. Errors are `application/problem+json` (RFC 9457); a 422 names every
wrong field. JSON has no NaN or infinity: such a number is null, and `nonfinite` in the same object
says what it was."""

_PROBLEM_RESPONSE = {
    "description": "a problem: 400, 401, 403, 404, 405, 409, 413, 415, 422, 500 or 503",
    "content": {
        "application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "example": PROBLEM,
        }
    },
}


def describe(app: FastAPI) -> None:
    """Have the app describe itself at ``/openapi.json``."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=INTRODUCTION,
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "a token of this server"}
    }
    schemas = components.setdefault("schemas", {})
    problem = TypeAdapter(Problem).json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)  # FastAPI's own error shape, which never comes
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _PROBLEM_RESPONSE
            if path not in OPEN_PATHS:
                operation["security"] = [{"token": []}]
    return document
