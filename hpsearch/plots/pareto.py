"""What can be had together: the front of several objectives."""

from itertools import combinations
from typing import Any

from hpsearch.plots.data import PlotData, PlotTrial
from hpsearch.plots.style import GREY, RED, Figure, Trace, figure, hover, metric_axis
from hpsearch.spec.sections import Direction

N_COLUMNS = 3
PANEL_HEIGHT_PX = 320


def pareto(data: PlotData) -> Figure:
    """Return each pair of objectives in a panel, the trials no other beats in all of them apart.

    With two objectives the front is joined by a line; with more it is no line in any panel.
    """
    front = _front(data)
    on_front = {trial.number for trial in front}
    rest = [trial for trial in data.complete if trial.number not in on_front]
    pairs = list(combinations(range(len(data.metrics)), 2))
    mode = "lines+markers" if len(pairs) == 1 else "markers"
    traces: list[Trace] = []
    layout: dict[str, Any] = {}
    for i, (y, x) in enumerate(pairs):
        suffix = "" if i == 0 else str(i + 1)
        drawn = [
            _points("beaten by another", rest, x, y, GREY, "circle-open", "markers"),
            _points("best trade-offs", _along(front, x), x, y, RED, "diamond", mode),
        ]
        place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": i == 0}
        traces += [{**trace, **place} for trace in drawn if trace["x"]]
        for letter, objective in (("x", x), ("y", y)):
            values = [(trial.values or ())[objective] for trial in data.complete]
            layout[f"{letter}axis{suffix}"] = metric_axis(data.metrics[objective], values)
    if len(pairs) > 1:
        n_columns = min(N_COLUMNS, len(pairs))
        n_rows = -(-len(pairs) // n_columns)
        layout["grid"] = {
            "rows": n_rows, "columns": n_columns, "pattern": "independent",
            "xgap": 0.25, "ygap": 0.3,
        }  # fmt: skip
        layout["height"] = PANEL_HEIGHT_PX * n_rows + 80
    return figure(traces, title=_title(data), empty="no trial is complete yet", **layout)


def _title(data: PlotData) -> str:
    first, *others = data.metrics
    return f"{first} against {' and '.join(others)}"


def _front(data: PlotData) -> list[PlotTrial]:
    """Return the trials no other beats: as good in every objective and better in one."""
    signs = [-1.0 if way is Direction.MAXIMIZE else 1.0 for way in data.directions]
    losses = {
        trial.number: tuple(s * v for s, v in zip(signs, trial.values or (), strict=True))
        for trial in data.complete
    }
    front: list[PlotTrial] = []
    # in this order nobody is beaten by one who comes later
    for trial in sorted(data.complete, key=lambda trial: (losses[trial.number], trial.number)):
        mine = losses[trial.number]
        if not any(
            losses[other.number] != mine
            and all(a <= b for a, b in zip(losses[other.number], mine, strict=True))
            for other in front
        ):
            front.append(trial)
    return front


def _along(trials: list[PlotTrial], objective: int) -> list[PlotTrial]:
    return sorted(trials, key=lambda trial: (trial.values or ())[objective])


def _points(
    name: str, trials: list[PlotTrial], x: int, y: int, colour: str, symbol: str, mode: str
) -> Trace:
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "legendgroup": name,
        "x": [(trial.values or ())[x] for trial in trials],
        "y": [(trial.values or ())[y] for trial in trials],
        "text": [hover(trial.number, trial.params) for trial in trials],
        "hovertemplate": "%{text}<br><b>%{y:.5g}</b> at %{x:.5g}<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": 9},
        "line": {"color": colour, "width": 1, "dash": "dot"},
    }
