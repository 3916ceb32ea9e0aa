import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import plotly.graph_objects
import plotly.io
import pytest

from hpsearch.errors import RequestInvalid
from hpsearch.plots.data import PlotData, PlotTrial, Span
from hpsearch.plots.figures import Kind, draw
from hpsearch.plots.image import png
from hpsearch.plots.style import STATE_SYMBOL
from hpsearch.spec.sections import Direction
from hpsearch.spec.space import CategoricalDomain, Domain, FloatDomain, IntDomain
from hpsearch.spec.states import AttemptState, TrialState

DOMAINS: dict[str, Domain] = {
    "optimizer.learning_rate": FloatDomain(1e-4, 1.0, log=True),
    "model.hidden_units": IntDomain(8, 64),
    "model.activation": CategoricalDomain(("relu", "<b>tanh</b>", None)),
}
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def trial(number: int, state: TrialState = TrialState.COMPLETE, **changes: Any) -> PlotTrial:
    value = 0.5 + number / 100
    start = NOON + timedelta(seconds=number)
    fields: dict[str, Any] = {
        "params": {
            "optimizer.learning_rate": 10.0 ** (-number % 4 - 4),
            "model.hidden_units": 8 + number,
            "model.activation": ("relu", "<b>tanh</b>", None)[number % 3],
        },
        "values": (value, 100.0 - number) if state is TrialState.COMPLETE else None,
        "last_value": value,
        "curve": tuple((epoch, value - 1 / epoch) for epoch in range(1, 6)),
        "spans": (Span("w", start, start + timedelta(seconds=5), AttemptState.SUCCEEDED),),
    }
    return PlotTrial(number, state, **{**fields, **changes})


def data(trials: list[PlotTrial], n_objectives: int = 2, **changes: Any) -> PlotData:
    return PlotData(
        "study",
        ("val_accuracy", "n_parameters")[:n_objectives],
        (Direction.MAXIMIZE, Direction.MINIMIZE)[:n_objectives],
        "val_accuracy",
        DOMAINS,
        trials,
        {"model.hidden_units": 0.7, "optimizer.learning_rate": 0.3},
        **changes,
    )


MANY = [trial(n) for n in range(12)] + [
    trial(12, TrialState.PRUNED),
    trial(13, TrialState.FAIL),
    trial(14, TrialState.RUNNING),
    trial(15, TrialState.WAITING, params={}, curve=(), last_value=None, spans=()),
]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("trials", [MANY, MANY[:1], MANY[12:], []], ids=["many", "1", "odd", "0"])
def test_every_figure_is_a_document_plotly_accepts(kind: Kind, trials: list[PlotTrial]) -> None:
    document = draw(kind, data(trials))
    drawn = plotly.graph_objects.Figure(document)  # refuses names and values it does not know
    assert drawn.layout.title.text
    assert document["data"] or document["layout"]["annotations"]


def test_states_are_told_apart_without_colour() -> None:
    traces = {trace["name"]: trace for trace in draw(Kind.HISTORY, data(MANY))["data"]}
    symbols = [traces[name]["marker"]["symbol"] for name in ("complete", "pruned", "fail")]
    assert len(set(symbols)) == 3
    assert len(set(STATE_SYMBOL.values())) == len(STATE_SYMBOL)


def test_the_best_so_far_never_gets_worse() -> None:
    shuffled = [trial(n, values=(v, 1.0)) for n, v in enumerate((0.3, 0.9, 0.5, 0.95))]
    best = draw(Kind.HISTORY, data(shuffled))["data"][-1]
    assert best["y"] == [0.3, 0.9, 0.9, 0.95]


def test_axes_are_logarithmic_where_the_range_is() -> None:
    layout = draw(Kind.SLICE, data(MANY))["layout"]
    kinds = {
        layout[f"xaxis{suffix}"]["title"]["text"]: layout[f"xaxis{suffix}"].get("type")
        for suffix in ("", "2", "3")
    }
    assert kinds == {
        "model.hidden_units": None,
        "optimizer.learning_rate": "log",
        "model.activation": "category",
    }


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    points = [(0.9, 100.0), (0.8, 50.0), (0.7, 80.0), (0.95, 200.0)]
    trials = [trial(n, values=values) for n, values in enumerate(points)]
    beaten, front = draw(Kind.PARETO, data(trials))["data"]
    assert list(zip(front["y"], front["x"], strict=True)) == [points[1], points[0], points[3]]
    assert beaten["y"] == [0.7]


def test_the_front_of_three_objectives_is_that_of_all_three() -> None:
    # the second is beaten in the first two objectives, but has the least loss
    points = [(0.9, 100.0, 0.5), (0.8, 120.0, 0.1), (0.7, 5000.0, 0.6)]
    three = PlotData(
        "study",
        ("val_accuracy", "n_parameters", "val_loss"),
        (Direction.MAXIMIZE, Direction.MINIMIZE, Direction.MINIMIZE),
        "val_accuracy",
        DOMAINS,
        [trial(n, values=values) for n, values in enumerate(points)],
    )
    document = draw(Kind.PARETO, three)
    fronts = [trace for trace in document["data"] if trace["name"] == "best trade-offs"]
    assert [sorted(trace["y"]) for trace in fronts] == [[0.8, 0.9], [0.8, 0.9], [100.0, 120.0]]
    layout = document["layout"]
    axes = [(layout[f"{a}axis{i}"]["title"]["text"]) for i in ("", "2", "3") for a in "yx"]
    assert axes == [
        *("val_accuracy", "n_parameters"),
        "val_accuracy",
        "val_loss",
        *three.metrics[1:],
    ]
    assert (layout["xaxis"].get("type"), layout["xaxis2"].get("type")) == ("log", None)


def test_one_objective_has_no_front() -> None:
    with pytest.raises(RequestInvalid, match="two objectives"):
        draw(Kind.PARETO, data(MANY, n_objectives=1))


def test_an_unknown_parameter_is_named_with_those_there_are() -> None:
    with pytest.raises(RequestInvalid, match=r"optimizer\.learning_rate"):
        draw(Kind.CONTOUR, data(MANY), x="lr")


def test_a_contour_takes_the_two_most_important_parameters() -> None:
    layout = draw(Kind.CONTOUR, data(MANY))["layout"]
    titles = [layout[axis]["title"]["text"] for axis in ("xaxis", "yaxis")]
    assert titles == ["model.hidden_units", "optimizer.learning_rate"]


def test_a_contour_leaves_out_parameters_that_never_come_together() -> None:
    apart = [
        trial(n, params={"model.hidden_units" if n % 2 else "optimizer.learning_rate": 0.1 + n})
        for n in range(8)
    ]
    both = [
        trial(n, params={"model.hidden_units": n, "model.activation": "relu"})
        for n in range(8, 16)
    ]
    layout = draw(Kind.CONTOUR, data(apart + both))["layout"]
    titles = {layout[axis]["title"]["text"] for axis in ("xaxis", "yaxis")}
    assert titles == {"model.hidden_units", "model.activation"}


def test_a_figure_without_data_has_no_axes_that_claim_a_range() -> None:
    layout = draw(Kind.SLICE, data([]))["layout"]
    assert layout["annotations"][0]["text"] == "no trial is complete yet"
    assert (layout["xaxis"], layout["yaxis"]) == ({"visible": False}, {"visible": False})


def test_importance_says_how_it_was_evaluated_and_why_there_is_none() -> None:
    drawn = draw(Kind.IMPORTANCE, data(MANY, importance_by="fANOVA"))
    assert drawn["layout"]["title"]["text"] == "What val_accuracy depends on, by fANOVA"
    assert drawn["data"][0]["y"] == ["learning_rate", "hidden_units"]
    none = replace(data([], importance_note="needs at least 4 complete trials"), importance={})
    (note,) = draw(Kind.IMPORTANCE, none)["layout"]["annotations"]
    assert note["text"] == "needs at least 4 complete trials"


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.TIMELINE])
def test_a_large_study_is_thinned_to_what_can_be_seen(kind: Kind) -> None:
    values = [(0.5 + n % 997 / 2000, 100.0 + n % 50) for n in range(3000)]
    large = data([trial(n, values=value, spans=()) for n, value in enumerate(values)])
    document = draw(kind, large)
    assert len(json.dumps(document)) < 700_000, "a page of it loads at once"
    if kind is Kind.SLICE:
        assert "1,000 of 3,000 trials" in document["layout"]["title"]["text"]
        assert max(document["data"][0]["y"]) == max(value for value, _ in values)


@pytest.mark.parametrize(
    ("lacks", "told"), [("kaleido", "pip install kaleido"), ("browser", "Chromium or Chrome")]
)
def test_without_an_exporter_a_picture_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, lacks: str, told: str
) -> None:
    def no_browser(*_args: Any, **_options: Any) -> bytes:
        raise RuntimeError("Kaleido requires Google Chrome to be installed.")

    found = None if lacks == "kaleido" else object()
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: found)
    monkeypatch.setattr("plotly.io.to_image", no_browser)
    with pytest.raises(RequestInvalid) as refused:
        png(draw(Kind.EDF, data(MANY)))
    assert refused.value.errors[0].loc == ("query", "format")
    assert told in refused.value.errors[0].msg


def test_a_contour_passes_near_its_trials() -> None:
    surface = draw(Kind.CONTOUR, data(MANY))["data"][0]
    values = [value for row in surface["z"] for value in row]
    assert min(values) >= 0.5
    assert max(values) <= 0.62


def test_text_from_a_definition_is_not_markup() -> None:
    text = draw(Kind.HISTORY, data(MANY))["data"][0]["text"]
    assert any("&lt;b>tanh&lt;/b>" in line for line in text)
    assert not any("<b>tanh" in line for line in text)
