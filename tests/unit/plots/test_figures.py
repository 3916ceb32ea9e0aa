from datetime import UTC, datetime, timedelta
from typing import Any

import plotly.graph_objects
import pytest

from hpsearch.errors import RequestInvalid
from hpsearch.plots.data import PlotData, PlotTrial, Span
from hpsearch.plots.figures import Kind, draw
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


def test_a_contour_passes_near_its_trials() -> None:
    surface = draw(Kind.CONTOUR, data(MANY))["data"][0]
    values = [value for row in surface["z"] for value in row]
    assert min(values) >= 0.5
    assert max(values) <= 0.62


def test_text_from_a_definition_is_not_markup() -> None:
    text = draw(Kind.HISTORY, data(MANY))["data"][0]["text"]
    assert any("&lt;b>tanh&lt;/b>" in line for line in text)
    assert not any("<b>tanh" in line for line in text)
