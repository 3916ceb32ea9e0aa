"""Figures, importances and the report of a study, over HTTP."""

import json
import math
import re
import shutil
import struct

import pytest

from hpsearch.plots.figures import Kind
from hpsearch.plots.image import HEIGHT_PX, WIDTH_PX
from hpsearch.spec.states import FailureKind, TrialState
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.report import Ending, TrialReport
from tests.services.in_process import Http
from tests.studies import ended, epochs_of, stored

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SPACE = {
    "model": {
        "family": "mlp",
        "hidden_units": {"low": 4, "high": 64, "log": True},
        "activation": {"choices": ["relu", "tanh"]},
    },
    "limits": {"max_trials": 30},
}


def value_of(trial: ClaimedTrial) -> float:
    """Return an accuracy that depends on the learning rate alone."""
    rate = trial.config.optimizer.model_dump()["learning_rate"]
    return 1.0 - 0.1 * abs(math.log10(rate) + 2)


@pytest.fixture(scope="module")
def http(shared_http: Http) -> Http:
    hand = stored(shared_http.database, "plotted", **SPACE)
    claimed = hand.claim(20)
    for trial in claimed[:17]:
        hand.report(epochs_of(trial, {1: value_of(trial) / 2}))
        hand.report(ended(trial, value_of(trial), epoch=2))
    failure = Ending(TrialState.FAIL, failure=(FailureKind.DIVERGED, "nan"))
    hand.report(epochs_of(claimed[18], {1: 0.2}))
    hand.report(TrialReport(18, claimed[18].token, {}, 1.0, end=failure))
    stored(shared_http.database, "empty", **SPACE)
    return shared_http


@pytest.mark.parametrize("study", ["plotted", "empty"])
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.PARETO])
def test_every_figure_comes_as_a_page_and_as_a_document(
    http: Http, kind: Kind, study: str
) -> None:
    page = http.get(f"/v1/studies/{study}/plots/{kind}")
    document = http.get(f"/v1/studies/{study}/plots/{kind}?format=json")

    assert (page.status_code, document.status_code) == (200, 200)
    found = re.search(r'<script type="application/json">(.*?)</script>', page.text, re.DOTALL)
    assert found is not None
    assert json.loads(found[1]).keys() == document.json().keys() == {"data", "layout"}
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "SAMEORIGIN"


def test_importance_finds_what_the_value_depends_on(http: Http) -> None:
    for evaluator in ("ped_anova", "fanova"):
        answer = http.get(f"/v1/studies/plotted/importance?evaluator={evaluator}").json()
        shares = answer["shares"]
        assert next(iter(shares)) == "optimizer.learning_rate"
        assert sum(shares.values()) == pytest.approx(1.0)
        assert answer["n_trials"] == 17


def test_importance_of_too_few_trials_says_so(http: Http) -> None:
    answer = http.get("/v1/studies/empty/importance").json()
    assert (answer["shares"], answer["n_trials"]) == ({}, 0)
    assert "at least" in answer["note"]


def test_the_report_needs_no_server(http: Http) -> None:
    report = http.get("/v1/studies/plotted/report.html")

    assert report.status_code == 200
    assert not re.search(r'(src|href)="', report.text.split("<script>")[0])
    assert "plotly.js v" in report.text
    assert report.text.count("data-canvas></div>") == 6


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("plotted/plots/nonsense", 422, "history"),
        ("plotted/plots/pareto", 422, "two objectives"),
        ("plotted/plots/contour?x=lr", 422, "optimizer.learning_rate"),
        ("plotted/plots/history?format=pdf", 422, "html"),
        ("plotted/plots/importance?evaluator=tea", 422, "fanova"),
        ("nobody/plots/history", 404, "nobody"),
        ("nobody/report.html", 404, "nobody"),
        ("plotted/importance?evaluator=tea", 422, "fanova"),
    ],
)
def test_what_cannot_be_drawn_is_a_clear_problem(
    http: Http, path: str, status: int, text: str
) -> None:
    answer = http.get(f"/v1/studies/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert text in answer.text


def test_a_figure_comes_as_a_picture_where_an_exporter_is_installed(http: Http) -> None:
    answer = http.get("/v1/studies/plotted/plots/contour?format=png")
    if not any(map(shutil.which, BROWSERS)):
        assert (answer.status_code, "Chromium or Chrome" in answer.text) == (422, True)
        return
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", answer.content[16:24])
    assert (width, height) == (2 * WIDTH_PX, 2 * HEIGHT_PX)
    assert len(answer.content) > 30_000, "something is drawn"


def test_the_figure_of_importances_takes_either_evaluator(http: Http) -> None:
    titles = [
        http.get(f"/v1/studies/plotted/plots/importance?format=json&evaluator={evaluator}").json()[
            "layout"
        ]["title"]["text"]
        for evaluator in ("ped_anova", "fanova")
    ]
    assert [title.rpartition(" ")[2] for title in titles] == ["PED-ANOVA", "fANOVA"]


def test_plotly_comes_from_here_and_is_asked_for_once(http: Http) -> None:
    first = http.get("/assets/plotly.min.js")
    again = http.get("/assets/plotly.min.js", headers={"If-None-Match": first.headers["etag"]})
    assert first.headers["content-type"].startswith("text/javascript")
    assert first.headers["content-encoding"] == "gzip"
    assert "plotly.js v" in first.text[:200]
    assert again.status_code == 304


def test_an_attempt_is_in_the_timeline(http: Http) -> None:
    document = http.get("/v1/studies/plotted/plots/timeline?format=json").json()
    names = {trace["name"]: len(trace["x"]) for trace in document["data"]}
    assert names == {"succeeded": 17, "failed": 1, "running": 2}
    assert {trace["y"][0] for trace in document["data"]} == {"worker-0"}
