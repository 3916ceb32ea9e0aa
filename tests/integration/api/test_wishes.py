"""PATCH of studies, users' points, retries and stopped trials over HTTP."""

from typing import Any

import pytest

from hpsearch.spec.states import FailureKind, TrialState
from hpsearch.studies.report import Ending, TrialReport
from tests.services.in_process import Http
from tests.studies import Hand, stored

RATE = "optimizer.learning_rate"


@pytest.fixture
def hand(lite: Http) -> Hand:
    return stored(lite.database, limits={"max_trials": 3})


def fail(hand: Hand) -> None:
    (trial,) = hand.claim(1)
    end = Ending(TrialState.FAIL, failure=(FailureKind.USER_ERROR, "no"))
    hand.report(TrialReport(trial.number, trial.token, {}, 1.0, end=end))


def places(problem: dict[str, Any]) -> list[list[Any]]:
    return sorted((error["loc"] for error in problem["errors"]), key=str)


@pytest.mark.parametrize("kind", ["application/json", "application/merge-patch+json"])
def test_a_merge_patch_answers_with_the_study(lite: Http, hand: Hand, kind: str) -> None:
    body = b'{"limits": {"max_trials": 9, "timeout_s": 60}, "tags": ["a"], "weight": 2}'

    answer = lite.send("PATCH", "/v1/studies/study", content=body, headers={"content-type": kind})

    assert answer.status_code == 200
    study = answer.json()
    assert study["definition"]["limits"]["max_trials"] == 9
    assert (study["tags"], study["weight"]) == (["a"], 2.0)
    removed = lite.send("PATCH", "/v1/studies/study", json={"limits": {"timeout_s": None}}).json()
    assert removed["definition"]["limits"]["timeout_s"] is None


@pytest.mark.parametrize(
    ("patch", "wrong"),
    [
        (
            {"limits": {"max_trials": 0, "x": 1}, "seed": 3},
            [["limits", "max_trials"], ["limits", "x"], ["seed"]],
        ),
        ({"limits": None}, [["limits"]]),
        ({"limits": 5}, [["limits"]]),
        ({"tags": "a", "weight": "2"}, [["tags"], ["weight"]]),
        ([], [[]]),
    ],
)
def test_a_wrong_patch_names_every_field(
    lite: Http, hand: Hand, patch: Any, wrong: list[list[str]]
) -> None:
    answer = lite.send("PATCH", "/v1/studies/study", json=patch)

    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/request-invalid"
    assert places(answer.json()) == wrong


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"weight": NaN}', "application/json", 400),
        (b"weight: 2", "application/yaml", 415),
    ],
)
@pytest.mark.parametrize("path", ["", "/trials"])
def test_a_body_that_is_no_json_is_refused(
    lite: Http, hand: Hand, body: bytes, kind: str, status: int, path: str
) -> None:
    method = "POST" if path else "PATCH"
    headers = {"content-type": kind}
    answer = lite.send(method, f"/v1/studies/study{path}", content=body, headers=headers)
    assert answer.status_code == status


def test_points_are_added_retried_and_stopped(lite: Http, hand: Hand) -> None:
    added = lite.post("/v1/studies/study/trials", json={"params": {RATE: 0.5}, "count": 2})

    assert added.status_code == 201
    trials = added.json()["trials"]
    assert [(t["number"], t["origin"], t["params"]) for t in trials] == [
        (0, "user", {RATE: 0.5}),
        (1, "user", {RATE: 0.5}),
    ]
    fail(hand)
    retried = lite.post("/v1/studies/study/trials/0:retry")
    assert (retried.status_code, retried.json()["origin"]) == (201, "retry")
    assert retried.json()["params"][RATE] == 0.5
    hand.claim(1)
    stopped = lite.post("/v1/studies/study/trials/1:stop")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "RUNNING")
    again = lite.post("/v1/studies/study/trials", json={"from_trial": 1})
    assert again.status_code == 201


@pytest.mark.parametrize(
    ("wish", "wrong"),
    [
        ({"params": {RATE: 99, "nope": 1}}, [["params", "nope"], ["params", RATE]]),
        ({"params": {}, "count": 0, "x": 1}, [["count"], ["x"]]),
        ({"params": [], "from_trial": "7"}, [["from_trial"], ["params"]]),
        ({"from_trial": 7}, [["from_trial"]]),
        ({}, [["params"]]),
    ],
)
def test_a_wrong_wish_names_every_field(
    lite: Http, hand: Hand, wish: Any, wrong: list[list[str]]
) -> None:
    answer = lite.post("/v1/studies/study/trials", json=wish)
    assert answer.status_code == 422
    assert places(answer.json()) == wrong


def test_what_does_not_fit_the_state_is_a_conflict(lite: Http, hand: Hand) -> None:
    beyond = lite.post("/v1/studies/study/trials", json={"params": {}, "count": 4})
    assert (beyond.status_code, beyond.json()["type"]) == (409, "/problems/wrong-state")
    assert "room for 3" in beyond.json()["detail"]
    hand.claim(1)
    running = lite.post("/v1/studies/study/trials/0:retry")
    assert (running.status_code, running.json()["state"]) == (409, "RUNNING")
    assert lite.post("/v1/studies/study/trials/9:retry").status_code == 404
    lite.post("/v1/studies/study:cancel")
    ended = lite.post("/v1/studies/study/trials", json={"params": {}})
    assert (ended.status_code, ended.json()["state"]) == (409, "CANCELLED")


def test_a_repeated_request_with_a_key_adds_once(lite: Http, hand: Hand) -> None:
    key = {"idempotency-key": "k"}
    wish = {"params": {RATE: 0.5}}
    first = lite.post("/v1/studies/study/trials", json=wish, headers=key)
    assert lite.post("/v1/studies/study/trials", json=wish, headers=key).json() == first.json()
    assert lite.get("/v1/studies/study").json()["counts"]["waiting"] == 1
