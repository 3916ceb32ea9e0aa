"""Trials and epochs over HTTP."""

import math
import re

import pytest
from pydantic import TypeAdapter

from hpsearch.api import shapes
from hpsearch.spec.states import FailureKind, TrialState
from hpsearch.studies.report import Ending, TrialReport
from tests.services.in_process import Http
from tests.studies import Hand, metrics_of, stored


@pytest.fixture(scope="module")
def http(shared_http: Http) -> Http:
    """One API for all tests here; they only look."""
    return shared_http


@pytest.fixture(scope="module")
def hand(http: Http) -> Hand:
    """A study with trials 0 to 4: three complete (0.5, 0.9, 0.7), one failed, one running."""
    hand = stored(http.database, limits={"max_trials": 10})
    trials = hand.claim(5)
    for trial, value in zip(trials, (0.5, 0.9, 0.7), strict=False):
        hand.epoch(trial, 1, value - 0.1)
        hand.finish(trial, value, 2)
    failing = trials[3]
    metrics = {1: {**metrics_of(0.1), "val_loss": math.inf, "train_loss": math.nan}}
    end = Ending(TrialState.FAIL, 1, failure=(FailureKind.DIVERGED, "the loss is inf"))
    hand.report(TrialReport(failing.number, failing.token, metrics, 1.0, 10, end))
    hand.epoch(trials[4], 1, 0.2)
    return hand


def test_trials_come_in_order_without_attempts_and_config(http: Http, hand: Hand) -> None:
    page = http.get("/v1/studies/study/trials").json()
    TypeAdapter(shapes.TrialList).validate_python(page)
    assert [trial["number"] for trial in page["trials"]] == [0, 1, 2, 3, 4]
    assert page["next_page_token"] is None
    first = page["trials"][0]
    assert first["values"] == {"val_accuracy": 0.5}
    assert first["test"] == {"accuracy": 0.5, "loss": 1.0}
    assert first["params"].keys() == {"model.hidden_units[0]", "optimizer.learning_rate"}
    assert not {"attempts", "config"} & first.keys()


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("order_by=value", [1, 2, 0]),
        ("order_by=-number", [4, 3, 2, 1, 0]),
        ("state=FAIL", [3]),
        ("state=RUNNING&origin=sampled", [4]),
        ("origin=user", []),
    ],
)
def test_trials_are_ordered_and_filtered(
    http: Http, hand: Hand, query: str, numbers: list[int]
) -> None:
    page = http.get(f"/v1/studies/study/trials?{query}").json()
    assert [trial["number"] for trial in page["trials"]][: len(numbers) or 1] == numbers


def test_pages_of_trials_hold_each_once(http: Http, hand: Hand) -> None:
    for order in ("number", "-number", "value", "-value"):
        numbers, token = [], ""
        while token is not None:
            url = f"/v1/studies/study/trials?order_by={order}&limit=2&page_token={token}"
            page = http.get(url).json()
            numbers += [trial["number"] for trial in page["trials"]]
            token = page["next_page_token"]
        assert sorted(numbers) == [0, 1, 2, 3, 4], order


def test_a_trial_has_its_config_and_attempts(http: Http, hand: Hand) -> None:
    trial = http.get("/v1/studies/study/trials/1").json()
    TypeAdapter(shapes.Trial).validate_python(trial)
    assert trial["state"] == "COMPLETE"
    assert (
        trial["config"]["optimizer"]["learning_rate"] == trial["params"]["optimizer.learning_rate"]
    )
    (attempt,) = trial["attempts"]
    assert (attempt["worker"], attempt["state"]) == ("worker-0", "SUCCEEDED")
    assert attempt["started_at"].endswith("Z")


def test_a_failed_trial_says_why(http: Http, hand: Hand) -> None:
    trial = http.get("/v1/studies/study/trials/3").json()
    assert trial["failure"] == {"kind": "diverged", "message": "the loss is inf"}
    assert trial["values"] is None


def test_epochs_are_flat_and_name_what_was_not_finite(http: Http, hand: Hand) -> None:
    page = http.get("/v1/studies/study/trials/3/epochs").json()
    assert page == {
        "epochs": [
            {
                "epoch": 1,
                "val_accuracy": 0.1,
                "val_loss": None,
                "train_loss": None,
                "nonfinite": {"val_loss": "inf", "train_loss": "nan"},
            }
        ],
        "next_page_token": None,
    }


def test_epochs_of_a_trial_come_in_pages(http: Http, hand: Hand) -> None:
    first = http.get("/v1/studies/study/trials/0/epochs?limit=1").json()
    assert [epoch["epoch"] for epoch in first["epochs"]] == [1]
    token = first["next_page_token"]
    second = http.get(f"/v1/studies/study/trials/0/epochs?limit=1&page_token={token}").json()
    assert [epoch["epoch"] for epoch in second["epochs"]] == [2]


def test_curves_of_many_trials_are_told_apart_by_number(http: Http, hand: Hand) -> None:
    url = "/v1/studies/study/epochs?metric=val_accuracy&number=0&number=1&points=2"
    page = http.get(url).json()
    assert page["epochs"][0] == {"number": 0, "epoch": 1, "val_accuracy": 0.4}
    assert {epoch["number"] for epoch in page["epochs"]} == {0, 1}


def test_curves_come_in_pages_of_whole_trials(http: Http, hand: Hand) -> None:
    url = "/v1/studies/study/epochs?metric=val_accuracy&limit=2"
    first = http.get(url).json()
    assert [(e["number"], e["epoch"]) for e in first["epochs"]] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    second = http.get(f"{url}&page_token={first['next_page_token']}").json()
    third = http.get(f"{url}&page_token={second['next_page_token']}").json()
    assert [e["number"] for e in second["epochs"]] == [2, 2, 3]
    assert [e["number"] for e in third["epochs"]] == [4]
    assert third["next_page_token"] is None


def test_a_page_of_curves_ends_early_where_they_are_long(
    http: Http, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpsearch.studies.read.MAX_EPOCHS_READ", 1)
    page = http.get("/v1/studies/study/epochs").json()
    assert {epoch["number"] for epoch in page["epochs"]} == {0}  # one at least
    assert page["next_page_token"] is not None


@pytest.mark.parametrize("query", ["page_token=x", "page_token=WyJhIl0", "limit=0", "points=1"])
def test_a_senseless_page_of_curves_is_refused(http: Http, hand: Hand, query: str) -> None:
    assert http.get(f"/v1/studies/study/epochs?{query}").status_code == 422


def test_the_best_trial_is_a_list_of_one(http: Http, hand: Hand) -> None:
    page = http.get("/v1/studies/study/best-trials").json()
    assert [trial["number"] for trial in page["trials"]] == [1]
    study = http.get("/v1/studies/study").json()
    assert [trial["number"] for trial in study["best_trials"]] == [1]
    assert study["counts"] == {"waiting": 0, "running": 1, "complete": 3, "pruned": 0, "fail": 1}


@pytest.mark.parametrize("path", ["trials/5", "trials/4294967296", "trials/5/epochs"])
def test_a_number_nobody_has_is_not_found(http: Http, hand: Hand, path: str) -> None:
    answer = http.get(f"/v1/studies/study/{path}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


def test_the_page_of_a_study_shows_its_best_trial(http: Http, hand: Hand) -> None:
    page = http.get("/studies/study").text
    assert "/studies/study/trials/1" in page
    assert ">0.9<" in page


def test_the_table_of_trials_sorts_by_value_and_by_number(http: Http, hand: Hand) -> None:
    def numbers(sort: str) -> list[str]:
        page = http.get(f"/studies/study/trials?sort={sort}").text
        return list(dict.fromkeys(re.findall(r'href="/studies/study/trials/(\d+)"', page)))

    assert numbers("value")[0] == "1"
    assert numbers("number") == ["0", "1", "2", "3", "4"]
    assert numbers("number&desc=true") == ["4", "3", "2", "1", "0"]


def test_the_page_of_a_failed_trial_says_why(http: Http, hand: Hand) -> None:
    (failed,) = http.get("/v1/studies/study/trials?state=FAIL").json()["trials"]
    page = http.get(f"/studies/study/trials/{failed['number']}").text
    assert "the loss is inf" in page


def test_the_dashboard_shows_the_study_and_changes_nothing(http: Http, hand: Hand) -> None:
    page = http.get("/dashboard/")
    assert page.status_code == 200
    assert "Optuna Dashboard" in page.text
    script = http.get("/static/bundle.js", headers={"accept-encoding": "gzip"})
    assert script.status_code == 200
    (summary,) = http.get("/api/studies").json()["study_summaries"]
    assert summary["study_name"] == "study"
    detail = http.get(f"/api/studies/{summary['study_id']}?after=0").json()
    assert [trial["state"] for trial in detail["trials"]].count("Complete") == 3
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = http.send(method, f"/api/studies/{summary['study_id']}", json={})
        assert answer.status_code == 405
        assert answer.headers["content-type"] == "application/problem+json"
    assert http.get("/v1/studies/study").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/studies/999", 404),
        ("/api/studies/1?after=x", 422),
        ("/api/studies/1/plot/slice", 404),
        ("/incompatible-rdb-schema", 404),
        ("/static/../index.html", 404),
        ("/static/%2e%2e/index.html", 404),
        ("/csv/999", 404),
        ("/api/studies/99999999999999999999", 404),
    ],
)
def test_the_dashboard_cannot_be_made_to_stumble(
    http: Http, hand: Hand, path: str, status: int
) -> None:
    answer = http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
