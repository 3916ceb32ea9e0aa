"""Who trained what, when."""

from hpsearch.plots.data import PlotData, PlotTrial, Span
from hpsearch.plots.style import (
    ATTEMPT_COLOUR,
    ATTEMPT_PATTERN,
    Figure,
    Trace,
    axis,
    figure,
)
from hpsearch.spec.states import AttemptState

MAX_SPANS = 2000


def timeline(data: PlotData) -> Figure:
    """Return every attempt as a bar in its worker's row, told apart by colour and pattern."""
    spans = [(trial, span) for trial in data.trials for span in trial.spans][-MAX_SPANS:]
    traces = [
        _bars(state, [item for item in spans if item[1].state is state])
        for state in AttemptState
        if any(span.state is state for _, span in spans)
    ]
    n_workers = len({span.worker for _, span in spans})
    return figure(
        traces,
        title="Attempts over time",
        empty="no trial has begun yet",
        barmode="overlay",
        bargap=0.35,
        xaxis=axis("", type="date"),
        yaxis=axis("", type="category"),
        height=max(280, 130 + 44 * n_workers),
    )


def _bars(state: AttemptState, spans: list[tuple[PlotTrial, Span]]) -> Trace:
    return {
        "type": "bar",
        "orientation": "h",
        "name": state.value.lower(),
        "base": [span.started_at.isoformat() for _, span in spans],
        # the length of a bar on a date axis is in milliseconds
        "x": [1000 * (span.finished_at - span.started_at).total_seconds() for _, span in spans],
        "y": [span.worker for _, span in spans],
        "text": [str(trial.number) for trial, _ in spans],
        "textposition": "none",
        "hovertemplate": f"trial %{{text}}, {state.value.lower()}<br>%{{base}}<extra></extra>",
        "opacity": 0.75,
        "marker": {
            "color": ATTEMPT_COLOUR[state],
            "pattern": {"shape": ATTEMPT_PATTERN[state]},
            "line": {"width": 1, "color": "white"},
        },
    }
