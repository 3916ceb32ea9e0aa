"""Every trial's value in order, and the best so far."""

from hpsearch.plots.data import PlotData, PlotTrial
from hpsearch.plots.style import RED, Figure, Trace, axis, figure, hover, marker
from hpsearch.spec.sections import Direction
from hpsearch.spec.states import TrialState


def history(data: PlotData) -> Figure:
    """Return value against trial number; pruned and failed trials have shapes of their own."""
    shown = [
        trial for trial in data.trials if trial.state.has_finished and trial.last_value is not None
    ]
    traces = [
        _points(data, state, [trial for trial in shown if trial.state is state])
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    ]
    traces = [trace for trace in traces if trace["x"]]
    if data.complete:
        traces.append(_best_so_far(data))
    return figure(
        traces,
        title=f"{data.metrics[0]} of every trial",
        empty="no trial has finished yet",
        xaxis=axis("trial", rangemode="tozero"),
        yaxis=axis(data.metrics[0]),
    )


def _points(data: PlotData, state: TrialState, trials: list[PlotTrial]) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": state.value.lower(),
        "x": [trial.number for trial in trials],
        "y": [trial.last_value for trial in trials],
        "text": [hover(trial.number, data.told(trial)) for trial in trials],
        "hovertemplate": "%{text}<br><b>%{y:.5g}</b><extra></extra>",
        "marker": marker(state),
        "cliponaxis": False,  # trial 0 stands on the axis
    }


def _best_so_far(data: PlotData) -> Trace:
    better = max if data.directions[0] is Direction.MAXIMIZE else min
    best: list[float] = []
    for trial in data.complete:
        value = (trial.values or (0.0,))[0]
        best.append(better(best[-1], value) if best else value)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [trial.number for trial in data.complete],
        "y": best,
        "line": {"shape": "hv", "color": RED, "width": 2},
    }
