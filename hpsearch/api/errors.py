"""Every error as an RFC 9457 problem: ours, the framework's, and what nobody foresaw."""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from hpsearch import errors
from hpsearch.api.wire import JsonResponse, plain

STATUSES: Mapping[type[errors.HpsearchError], HTTPStatus] = {
    errors.MalformedBody: HTTPStatus.BAD_REQUEST,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.AccessDenied: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.HpsearchError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of each branch; the nearest ancestor of an error decides."""

MAX_INPUT_CHARS = 200
MAX_INSTANCE_CHARS = 500
RETRY_AFTER_S = "2"  # the janitor's pace twice over
_SLUGS = {
    HTTPStatus.BAD_REQUEST: errors.MalformedBody.code,
    HTTPStatus.NOT_FOUND: errors.NotFound.code,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: errors.BodyTooLarge.code,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: errors.UnsupportedMediaType.code,
    HTTPStatus.UNPROCESSABLE_ENTITY: errors.RequestInvalid.code,
}


class ProblemResponse(JsonResponse):
    """An answer of type ``application/problem+json``."""

    media_type = "application/problem+json"


def problem(error: Exception, scope: Scope) -> ProblemResponse:
    """Return the answer to a request that failed.

    Nothing of an error that is our own fault is told; its log entry carries the request id.
    """
    if isinstance(error, RequestValidationError):
        error = _as_ours(error)
    if isinstance(error, HTTPException):
        return _of_http(error, scope)
    if isinstance(error, errors.HpsearchError):
        return _of_ours(error, scope)
    return _of_ours(errors.BrokenInvariant(str(error)), scope)


def status_of(error: errors.HpsearchError) -> HTTPStatus:
    """Return the HTTP status of one of our errors."""
    return next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)


def _of_ours(error: errors.HpsearchError, scope: Scope) -> ProblemResponse:
    status = status_of(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        request_id = scope.get("state", {}).get("request_id")
        detail = f"the server made a mistake; its log has it as request {request_id}"
        return _render(
            scope, status, "internal", "Internal error.", detail, {"request_id": request_id}
        )
    detail = str(error)
    extra = dict(error.fields())
    headers: dict[str, str] = {}
    if isinstance(error, errors.ServiceDown):
        # what the driver says may name hosts and users; the log has it
        detail = f"the {error.service} does not answer; try again in a moment"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER_S
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="hpsearch"'
    if isinstance(error, errors.InvalidDefinition | errors.RequestInvalid):
        extra["errors"] = [_field(item) for item in error.errors]
        detail = _summary(error.errors)
    title = (type(error).__doc__ or "").partition("\n")[0]
    return _render(scope, status, error.code, title, detail, extra, headers)


def _of_http(error: HTTPException, scope: Scope) -> ProblemResponse:
    status = HTTPStatus(error.status_code)
    slug = _SLUGS.get(status, status.phrase.lower().replace(" ", "-"))
    detail = str(error.detail)
    if status is HTTPStatus.NOT_FOUND and detail == status.phrase:
        detail = "there is nothing at this address"
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{scope['method'][:20]} is not possible here"
    return _render(scope, status, slug, status.phrase, detail, {}, error.headers)


def _as_ours(error: RequestValidationError) -> errors.HpsearchError:
    found = error.errors()
    for item in found:
        if item["type"] == "json_invalid":
            reason = item.get("ctx", {}).get("error", "cannot be parsed")
            return errors.MalformedBody(f"the body is no JSON: {reason}")
    return errors.RequestInvalid([_from_pydantic(item) for item in found])


def _from_pydantic(item: Mapping[str, Any]) -> errors.FieldError:
    loc = tuple(item["loc"])
    if loc and loc[0] == "body":
        loc = loc[1:]
    msg = str(item["msg"])
    if item["type"] == "extra_forbidden":
        msg = "unknown parameter"
    return errors.FieldError(loc, msg, item.get("input"))


def _field(item: errors.FieldError) -> dict[str, Any]:
    field: dict[str, Any] = {"loc": list(item.loc), "msg": item.msg, "input": shown(item.input)}
    if item.line is not None:
        field["line"] = item.line
    return field


def shown(value: Any) -> Any:
    """Return ``value`` if it is short as JSON, else its first 200 characters as text."""
    if isinstance(value, str):
        return _cut(value)
    text = _first_chars(value, MAX_INPUT_CHARS + 1)
    if len(text) > MAX_INPUT_CHARS:
        return _cut(text)
    try:
        return plain(json.loads(text, parse_constant=str))
    except ValueError:
        return text


def _cut(text: str) -> str:
    return text if len(text) <= MAX_INPUT_CHARS else text[: MAX_INPUT_CHARS - 1] + "…"


def _first_chars(value: Any, n_chars: int) -> str:
    text = ""
    try:
        # the iterator stops early: a wrong field may hold a megabyte
        for chunk in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
            text += chunk[:n_chars]
            if len(text) >= n_chars:
                break
    except (TypeError, ValueError, RecursionError):
        return f"a value of type {type(value).__name__}"
    return text


def _summary(found: Iterable[errors.FieldError]) -> str:
    listed = list(found)
    more = f", and {len(listed) - 1} more" if len(listed) > 1 else ""
    text = str(listed[0]) if listed else "the request is invalid"
    return text[:500] + more


def _render(
    scope: Scope,
    status: HTTPStatus,
    slug: str,
    title: str,
    detail: str,
    extra: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    content = {
        "type": f"/problems/{slug}",
        "title": title.rstrip("."),
        "status": int(status),
        "detail": detail,
        "instance": quote(scope.get("path", ""), safe="/:@!$&'()*+,;=", errors="replace")[
            :MAX_INSTANCE_CHARS
        ],
        **plain(extra),
    }
    return ProblemResponse(content, int(status), headers=dict(headers or {}))
