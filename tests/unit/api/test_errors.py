"""Errors as problems."""

import json
from http import HTTPStatus
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from hpsearch import errors
from hpsearch.api.errors import MAX_INPUT_CHARS, problem, shown, status_of
from hpsearch.errors import FieldError

SCOPE = {"type": "http", "method": "GET", "path": "/v1/studies/ä:x", "state": {"request_id": "r1"}}


def document(error: Exception) -> dict[str, Any]:
    response = problem(error, SCOPE)
    assert response.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = json.loads(bytes(response.body))
    assert content["status"] == response.status_code
    assert content["instance"] == "/v1/studies/%C3%A4:x"
    return content


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (errors.InvalidDefinition([]), 422, "definition-invalid"),
        (errors.RequestInvalid([]), 422, "request-invalid"),
        (errors.MalformedBody("x"), 400, "malformed"),
        (errors.BodyTooLarge(5), 413, "too-large"),
        (errors.UnsupportedMediaType("x"), 415, "media-type"),
        (errors.Unauthorized("x"), 401, "unauthorized"),
        (errors.Forbidden("x"), 403, "forbidden"),
        (errors.StudyNotFound("x"), 404, "not-found"),
        (errors.TrialNotFound("x", 1), 404, "not-found"),
        (errors.NameTaken("x"), 409, "name-taken"),
        (errors.WrongState("pause", "x", "COMPLETED"), 409, "wrong-state"),
        (errors.KeyReused("x"), 409, "key-reused"),
        (errors.InUse("x"), 409, "in-use"),
        (errors.ServiceDown("database", "x"), 503, "unavailable"),
        (errors.DatasetUnavailable("x"), 503, "unavailable"),
    ],
)
def test_each_error_has_the_status_and_the_slug_of_the_contract(
    error: errors.HpsearchError, status: int, slug: str
) -> None:
    content = document(error)
    assert (content["status"], content["type"]) == (status, f"/problems/{slug}")
    assert content["title"]
    assert content["detail"]


def test_every_error_class_has_a_status() -> None:
    def walk(cls: type[errors.HpsearchError]) -> list[type[errors.HpsearchError]]:
        return [cls, *(found for child in cls.__subclasses__() for found in walk(child))]

    for cls in walk(errors.HpsearchError):
        assert isinstance(status_of(cls.__new__(cls)), HTTPStatus), cls


def test_a_wrong_state_says_which_state_it_is() -> None:
    content = document(errors.WrongState("pause", "x", "COMPLETED"))
    assert (content["state"], content["verb"], content["study"]) == ("COMPLETED", "pause", "x")


def test_a_422_has_all_errors_with_their_places() -> None:
    found = [
        FieldError(("model", "hidden_units", 1), "must be at least 1", 0, 7),
        FieldError(("optimizer", "learning_rate"), "is required"),
    ]
    content = document(errors.InvalidDefinition(found))
    assert content["errors"] == [
        {
            "loc": ["model", "hidden_units", 1],
            "msg": "must be at least 1",
            "input": 0,
            "line": 7,
        },
        {"loc": ["optimizer", "learning_rate"], "msg": "is required", "input": None},
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ({"low": 1, "high": [2, None, True]}, {"low": 1, "high": [2, None, True]}),
        (["y" * 300], '["' + "y" * 197 + "…"),
        (b"\xff", str(b"\xff")),
        (float("nan"), "NaN"),
    ],
)
def test_an_input_is_shown_as_it_came_up_to_200_characters(value: Any, expected: Any) -> None:
    assert shown(value) == expected


def test_a_huge_input_costs_no_more_than_a_short_one() -> None:
    shared = ["z" * 1000] * 1000
    value = [shared] * 100_000  # 100 GB as JSON
    assert len(shown(value)) == MAX_INPUT_CHARS


def test_a_value_json_cannot_hold_is_shown_all_the_same() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert shown(loop) == "a value of type list"


def test_what_is_our_own_fault_is_not_told_but_can_be_found_in_the_log() -> None:
    content = document(RuntimeError("the password is 12345"))
    assert content["type"] == "/problems/internal"
    assert content["request_id"] == "r1"
    assert "12345" not in json.dumps(content)


def test_a_service_that_is_down_is_named_without_its_address() -> None:
    response = problem(errors.ServiceDown("database", "host db.internal refused user bob"), SCOPE)
    content = json.loads(bytes(response.body))
    assert content["service"] == "database"
    assert "db.internal" not in json.dumps(content)
    assert response.headers["retry-after"]


def test_a_missing_token_is_challenged() -> None:
    response = problem(errors.Unauthorized("x"), SCOPE)
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_the_frameworks_errors_are_problems_too() -> None:
    assert document(HTTPException(404))["type"] == "/problems/not-found"
    refused = problem(HTTPException(405, headers={"Allow": "GET"}), SCOPE)
    assert refused.headers["allow"] == "GET"
    assert json.loads(bytes(refused.body))["type"] == "/problems/method-not-allowed"


def test_a_query_the_framework_refuses_has_its_place_and_input() -> None:
    error = RequestValidationError(
        [{"type": "x", "loc": ("query", "limit"), "msg": "too large", "input": "9" * 5000}]
    )
    (found,) = document(error)["errors"]
    assert found["loc"] == ["query", "limit"]
    assert len(found["input"]) == MAX_INPUT_CHARS


def test_json_the_framework_cannot_read_is_malformed() -> None:
    error = RequestValidationError(
        [{"type": "json_invalid", "loc": ("body", 1), "msg": "x", "ctx": {"error": "why"}}]
    )
    content = document(error)
    assert (content["type"], content["status"]) == ("/problems/malformed", 400)
    assert "why" in content["detail"]
