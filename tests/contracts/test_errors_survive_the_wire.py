"""An error raised in the server is the same error in the client."""

import json
from typing import Any

import pytest

from hpsearch.api.errors import problem
from hpsearch.client.decode import parse_json
from hpsearch.client.problems import error_from_problem
from hpsearch.errors import (
    BodyTooLarge,
    BrokenInvariant,
    FieldError,
    Forbidden,
    HpsearchError,
    InUse,
    InvalidDefinition,
    KeyReused,
    MalformedBody,
    NameTaken,
    NotFound,
    RequestInvalid,
    StudyNotFound,
    TrialNotFound,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    WrongState,
)

WRONG_FIELDS = [FieldError(("model", "hidden_units", 1), "too wide", 70_000, 4)]


def over_the_wire(error: Exception) -> HpsearchError:
    response = problem(error, {"type": "http", "path": "/v1/studies", "method": "POST"})
    body: dict[str, Any] = parse_json(bytes(response.body))
    return error_from_problem(response.status_code, body)


@pytest.mark.parametrize(
    "error",
    [
        InvalidDefinition(WRONG_FIELDS),
        RequestInvalid(WRONG_FIELDS),
        MalformedBody("no YAML"),
        BodyTooLarge(1024),
        UnsupportedMediaType("send JSON"),
        Unauthorized("no token"),
        Forbidden("read only"),
        NotFound("nothing here"),
        StudyNotFound("digits"),
        TrialNotFound("digits", 7),
        NameTaken("digits"),
        WrongState("pause", "digits", "COMPLETED"),
        KeyReused("another body"),
        InUse("a study uses it"),
        Unavailable("later"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_class_message_and_fields_survive(error: HpsearchError) -> None:
    arrived = over_the_wire(error)

    assert type(arrived) is type(error)
    assert arrived.fields() == error.fields()
    assert str(arrived) == str(error)


def test_wrong_fields_survive_one_by_one() -> None:
    arrived = over_the_wire(InvalidDefinition(WRONG_FIELDS))

    assert isinstance(arrived, InvalidDefinition)
    assert list(arrived.errors) == WRONG_FIELDS


def test_a_mistake_of_the_server_is_no_mistake_of_the_caller() -> None:
    assert type(over_the_wire(RuntimeError("boom"))) is BrokenInvariant


@pytest.mark.parametrize("body", [{}, {"type": 3}, {"type": "/problems/wrong-state"}])
@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 503])
def test_a_problem_that_says_little_is_sorted_by_its_status(
    body: dict[str, Any], status: int
) -> None:
    expected = {400: "InvalidRequest", 404: "NotFound", 409: "Conflict", 422: "InvalidRequest"}
    expected |= {500: "BrokenInvariant", 503: "Unavailable"}

    assert type(error_from_problem(status, json.loads(json.dumps(body)))).__name__ in {
        expected[status]
    }
