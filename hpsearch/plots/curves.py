"""The learning curve of every trial."""

from hpsearch.plots.data import PlotData, PlotTrial
from hpsearch.plots.style import (
    BLUE,
    GREY,
    STATE_COLOUR,
    Figure,
    Trace,
    axis,
    figure,
    hover,
    marker,
)
from hpsearch.spec.states import TrialState

MAX_CURVES = 300  # more lines than this are a grey cloud that takes seconds to draw


def curves(data: PlotData) -> Figure:
    """Return metric against epoch; the best trial stands out, ends show how trials ended."""
    best = data.best
    begun = [trial for trial in data.trials if trial.state is not TrialState.WAITING]
    left_out = max(0, len(begun) - MAX_CURVES)
    shown = [trial for trial in begun[left_out:] if trial.curve]
    if best is not None and best.curve and all(trial is not best for trial in shown):
        shown = [best, *shown]
    traces = [_line(trial, is_best=False) for trial in shown if trial is not best]
    traces += [
        _ends(state, [trial for trial in shown if trial.state is state])
        for state in (TrialState.PRUNED, TrialState.FAIL)
        if any(trial.state is state for trial in shown)
    ]
    if best is not None and best.curve:
        traces.append(_line(best, is_best=True))
    note = f", the latest {MAX_CURVES} trials and the best" if left_out else ""
    return figure(
        traces,
        title=f"{data.curve_metric} after each epoch{note}",
        empty="no epoch has ended yet",
        xaxis=axis("epoch", rangemode="tozero"),
        yaxis=axis(data.curve_metric),
    )


def _line(trial: PlotTrial, *, is_best: bool) -> Trace:
    running = trial.state is TrialState.RUNNING
    colour = BLUE if is_best else STATE_COLOUR[TrialState.RUNNING] if running else GREY
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(trial.curve) == 1 else "lines",
        "name": f"best: trial {trial.number}" if is_best else f"trial {trial.number}",
        "showlegend": is_best,
        "x": [epoch for epoch, _ in trial.curve],
        "y": [value for _, value in trial.curve],
        "text": hover(trial.number, trial.params),
        "hovertemplate": "%{text}<br>epoch %{x}: <b>%{y:.5g}</b><extra></extra>",
        "line": {"color": colour, "width": 3 if is_best else 1.2},
        "opacity": 1.0 if is_best else 0.55,
    }


def _ends(state: TrialState, trials: list[PlotTrial]) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": state.value.lower(),
        "x": [trial.curve[-1][0] for trial in trials],
        "y": [trial.curve[-1][1] for trial in trials],
        "text": [hover(trial.number, trial.params) for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker(state, size=8),
    }
