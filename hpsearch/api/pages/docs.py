"""``/docs``: the OpenAPI description as a page that works offline and runs no script."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from hpsearch.api.pages.render import render_page

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def docs_page(request: Request) -> Response:
    """Show every call with its parameters and examples."""
    document: dict[str, Any] = request.app.openapi()
    groups: dict[str, list[dict[str, Any]]] = {}
    for call in _calls(document["paths"]):
        groups.setdefault(call["tag"], []).append(call)
    return render_page("docs.html", {"info": document["info"], "groups": groups})


def _calls(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for path, operations in paths.items():
        for method, operation in operations.items():
            yield {
                "tag": operation["tags"][0],
                "method": method.upper(),
                "path": path,
                "id": operation["operationId"],
                "description": operation.get("description") or operation["summary"],
                "parameters": [_parameter(each) for each in operation.get("parameters", [])],
                "bodies": list(_bodies(operation.get("requestBody", {}))),
                "answer": _answer(operation["responses"]),
            }


def _parameter(parameter: Mapping[str, Any]) -> dict[str, str]:
    schema = parameter.get("schema", {})
    default = schema.get("default")
    return {
        "name": parameter["name"],
        "place": parameter["in"],
        "description": parameter.get("description", schema.get("description", "")),
        "default": "" if default is None else str(default),
    }


def _bodies(body: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for media_type, content in body.get("content", {}).items():
        for example in content.get("examples", {}).values():
            yield {
                "media_type": media_type,
                "summary": example["summary"],
                "text": _text(example["value"]),
            }


def _answer(responses: Mapping[str, Any]) -> str:
    for status in ("200", "201"):
        example = (
            responses.get(status, {}).get("content", {}).get("application/json", {}).get("example")
        )
        if example is not None:
            return _text(example)
    return ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
