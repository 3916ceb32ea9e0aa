"""From an error answer of the server back to the exception that caused it."""

from collections.abc import Callable, Mapping
from typing import Any

from hpsearch.errors import (
    BodyTooLarge,
    BrokenInvariant,
    Conflict,
    DatasetNotFound,
    DatasetTaken,
    FieldError,
    Forbidden,
    HpsearchError,
    InUse,
    InvalidDefinition,
    InvalidRequest,
    KeyReused,
    MalformedBody,
    NameTaken,
    NotFound,
    RequestInvalid,
    ServiceDown,
    StudyNotFound,
    TrialNotFound,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    WrongState,
)

_Problem = Mapping[str, Any]


def error_from_problem(status: int, problem: _Problem) -> HpsearchError:
    """Return the exception the server raised, with its fields and its message.

    Args:
        status: HTTP status of the answer, which decides where ``type`` is unknown.
        problem: The RFC 9457 object of the answer.
    """
    code = str(problem.get("type", "")).rsplit("/", 1)[-1]
    errors = _field_errors(problem)
    if code == InvalidDefinition.code and errors:
        return InvalidDefinition(errors)
    if code == RequestInvalid.code and errors:
        return RequestInvalid(errors)
    detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
    try:
        error = _BUILDERS.get(code, _by_status(status))(problem, detail)
    except (KeyError, TypeError, ValueError):  # a server of another version sends fewer fields
        error = _by_status(status)(problem, detail)
    error.args = (detail,)  # the server's own words
    return error


def error_from_status(status: int, what_came: str) -> HpsearchError:
    """Return the exception for an answer that is no problem object, such as a proxy's page."""
    return _by_status(status)({}, f"the server answered {status} with {what_came}")


def _field_errors(problem: _Problem) -> tuple[FieldError, ...]:
    errors = problem.get("errors")
    if not isinstance(errors, list):
        return ()
    return tuple(
        FieldError(
            loc=tuple(error.get("loc") or ()),
            msg=str(error.get("msg", "")),
            input=error.get("input"),
            line=error.get("line"),
        )
        for error in errors
        if isinstance(error, dict)
    )


def _not_found(problem: _Problem, detail: str) -> HpsearchError:
    if "dataset" in problem:
        return DatasetNotFound(str(problem["dataset"]))
    study, number = problem.get("study"), problem.get("number")
    if study is not None and number is not None:
        return TrialNotFound(str(study), int(number))
    return StudyNotFound(str(study)) if study is not None else NotFound(detail)


def _name_taken(problem: _Problem, _detail: str) -> HpsearchError:
    if "dataset" in problem:
        return DatasetTaken(str(problem["dataset"]), "already")
    return NameTaken(str(problem["study"]))


def _unavailable(problem: _Problem, detail: str) -> HpsearchError:
    service = problem.get("service")
    return ServiceDown(str(service), detail) if service is not None else Unavailable(detail)


def _by_status(status: int) -> Callable[[_Problem, str], HpsearchError]:
    known: dict[int, type[HpsearchError]] = {
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        429: Unavailable,
        502: Unavailable,
        503: Unavailable,
        504: Unavailable,
    }
    kind = known.get(status, BrokenInvariant if status >= 500 else InvalidRequest)
    return lambda _problem, detail: kind(detail)


_BUILDERS: dict[str, Callable[[_Problem, str], HpsearchError]] = {
    MalformedBody.code: lambda _problem, detail: MalformedBody(detail),
    BodyTooLarge.code: lambda problem, _detail: BodyTooLarge(int(problem["limit_bytes"])),
    UnsupportedMediaType.code: lambda _problem, detail: UnsupportedMediaType(detail),
    Unauthorized.code: lambda _problem, detail: Unauthorized(detail),
    Forbidden.code: lambda _problem, detail: Forbidden(detail),
    NotFound.code: _not_found,
    NameTaken.code: _name_taken,
    WrongState.code: lambda problem, _detail: WrongState(
        str(problem["verb"]), str(problem["study"]), str(problem["state"])
    ),
    KeyReused.code: lambda _problem, detail: KeyReused(detail),
    InUse.code: lambda _problem, detail: InUse(detail),
    Unavailable.code: _unavailable,
}
