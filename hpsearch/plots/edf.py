"""Which share of trials is at least that good."""

from hpsearch.plots.data import PlotData
from hpsearch.plots.style import BLUE, Figure, axis, figure


def edf(data: PlotData) -> Figure:
    """Return the empirical distribution function of the first objective."""
    values = sorted((trial.values or (0.0,))[0] for trial in data.complete)
    n = len(values)
    trace = {
        "type": "scatter",
        "mode": "lines",
        "showlegend": False,
        "x": values,
        "y": [(i + 1) / n for i in range(n)],
        "line": {"shape": "hv", "color": BLUE, "width": 2},
        "hovertemplate": "%{y:.0%} of trials are at most %{x:.5g}<extra></extra>",
    }
    return figure(
        [trace] if values else [],
        title=f"Distribution of {data.metrics[0]}",
        empty="no trial is complete yet",
        xaxis=axis(data.metrics[0]),
        yaxis=axis("share of trials", range=[0, 1.02], tickformat=".0%"),
    )
