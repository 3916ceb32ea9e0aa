"""The value against each parameter, one small panel a parameter."""

from typing import Any

from hpsearch.plots.data import PlotData
from hpsearch.plots.style import Figure, axis, figure, hover, marker, on_axis, parameter_axis
from hpsearch.spec.states import TrialState

N_COLUMNS = 3
MAX_PANELS = 24
PANEL_HEIGHT_PX = 240


def slices(data: PlotData, parameter: str | None = None) -> Figure:
    """Return one panel per parameter, the most important first; only one if it is named."""
    names = [parameter] if parameter is not None else data.used_parameters()
    names.sort(key=lambda name: -data.importance.get(name, 0.0))
    names = names[:MAX_PANELS]
    title = f"{data.metrics[0]} against each parameter"
    if not data.complete:
        return figure([], title=title, empty="no trial is complete yet")
    n_columns = min(N_COLUMNS, len(names)) or 1
    n_rows = -(-len(names) // n_columns) or 1
    layout: dict[str, Any] = {
        "grid": {"rows": n_rows, "columns": n_columns, "pattern": "independent"},
        "height": PANEL_HEIGHT_PX * n_rows + 80,
    }
    traces = []
    for i, name in enumerate(names):
        suffix = "" if i == 0 else str(i + 1)
        domain = data.domains[name]
        trials = [trial for trial in data.complete if name in trial.params]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "showlegend": False,
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "x": [on_axis(trial.params[name], domain) for trial in trials],
                "y": [(trial.values or (0.0,))[0] for trial in trials],
                "text": [hover(trial.number, trial.params) for trial in trials],
                "hovertemplate": "%{text}<br><b>%{y:.5g}</b><extra></extra>",
                "marker": marker(TrialState.COMPLETE, size=7, opacity=0.75),
            }
        )
        layout[f"xaxis{suffix}"] = parameter_axis(name, domain)
        layout[f"yaxis{suffix}"] = axis(data.metrics[0] if i % n_columns == 0 else "")
    return figure(traces, title=title, **layout)
