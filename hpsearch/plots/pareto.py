"""What can be had together: the front of two objectives."""

from hpsearch.plots.data import PlotData, PlotTrial
from hpsearch.plots.style import GREY, RED, Figure, Trace, axis, figure, hover
from hpsearch.spec.sections import Direction


def pareto(data: PlotData) -> Figure:
    """Return the first two objectives of every complete trial, the front joined by a line."""
    first, second = data.metrics[:2]
    front = _front(data)
    rest = [trial for trial in data.complete if trial not in front]
    traces = []
    if rest:
        traces.append(_points("beaten by another", rest, GREY, "circle-open", "markers"))
    if front:
        traces.append(_points("best trade-offs", front, RED, "diamond", "lines+markers"))
    return figure(
        traces,
        title=f"{first} against {second}",
        empty="no trial is complete yet",
        xaxis=axis(second),
        yaxis=axis(first),
    )


def _front(data: PlotData) -> list[PlotTrial]:
    """Return the trials no other beats in the two objectives, along the second."""
    signs = [-1.0 if way is Direction.MAXIMIZE else 1.0 for way in data.directions[:2]]

    def losses(trial: PlotTrial) -> tuple[float, float]:
        values = trial.values or (0.0, 0.0)
        return signs[1] * values[1], signs[0] * values[0]

    front: list[PlotTrial] = []
    for trial in sorted(data.complete, key=losses):
        if not front or losses(trial)[1] < losses(front[-1])[1]:
            front.append(trial)
    return front


def _points(name: str, trials: list[PlotTrial], colour: str, symbol: str, mode: str) -> Trace:
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "x": [(trial.values or (0.0, 0.0))[1] for trial in trials],
        "y": [(trial.values or (0.0, 0.0))[0] for trial in trials],
        "text": [hover(trial.number, trial.params) for trial in trials],
        "hovertemplate": "%{text}<br><b>%{y:.5g}</b> at %{x:.5g}<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": 9},
        "line": {"color": colour, "width": 1, "dash": "dot"},
    }
