"""How much of the spread of values each parameter explains."""

from hpsearch.plots.data import PlotData
from hpsearch.plots.style import BLUE, Figure, axis, figure


def importance(data: PlotData) -> Figure:
    """Return one bar per parameter, the largest on top."""
    shares = sorted(data.importance.items(), key=lambda item: item[1])
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [share for _, share in shares],
        "y": [name for name, _ in shares],
        "text": [f"{share:.2f}" for _, share in shares],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": BLUE},
        "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
    }
    return figure(
        [trace] if shares else [],
        title=f"What {data.metrics[0]} depends on",
        empty="importance needs complete trials with different values",
        xaxis=axis("share of the explained spread", rangemode="tozero"),
        yaxis=axis(""),
        height=max(320, 90 + 28 * len(shares)),
    )
