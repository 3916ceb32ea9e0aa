"""How much of the spread of values each parameter explains."""

from hpsearch.plots.data import PlotData
from hpsearch.plots.style import BLUE, Figure, axis, figure


def importance(data: PlotData) -> Figure:
    """Return one bar per parameter, the largest on top."""
    shares = sorted(data.importance.items(), key=lambda item: item[1])
    names = _short([name for name, _ in shares])
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [share for _, share in shares],
        "y": names,
        "text": [f"{share:.2f}" for _, share in shares],
        "customdata": [name for name, _ in shares],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": BLUE},
        "hovertemplate": "%{customdata}: %{x:.3f}<extra></extra>",
    }
    how = f", by {data.importance_by}" if data.importance_by else ""
    note = f" ({data.importance_note})" if shares and data.importance_note else ""
    return figure(
        [trace] if shares else [],
        title=f"What {data.metrics[0]} depends on{how}{note}",
        empty=data.importance_note or "importance needs complete trials with different values",
        xaxis=axis("share of the spread", range=[0, 1.12 * max(dict(shares).values(), default=1)]),
        yaxis=axis("", type="category"),
        height=max(320, 110 + 28 * len(shares)),
    )


def _short(names: list[str]) -> list[str]:
    """Return the names without their section, where that leaves them apart."""
    short = [name.split(".", 1)[-1] for name in names]
    return short if len(set(short)) == len(names) else names
