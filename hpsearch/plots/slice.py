"""The value against each parameter, one small panel a parameter."""

from typing import Any

from hpsearch.plots.data import PlotData
from hpsearch.plots.style import Figure, axis, figure, hover, marker, on_axis, parameter_axis
from hpsearch.spec.states import TrialState

N_COLUMNS = 3
MAX_PANELS = 24
MAX_TRIALS = 1_000  # in each panel; more are a blot
PANEL_HEIGHT_PX = 260


def slices(data: PlotData, parameter: str | None = None) -> Figure:
    """Return one panel per parameter, the most important first; only one if it is named."""
    names = [parameter] if parameter is not None else data.used_parameters()
    names.sort(key=lambda name: -data.importance.get(name, 0.0))
    names = names[:MAX_PANELS]
    title = f"{data.metrics[0]} against each parameter"
    if not data.complete:
        return figure([], title=title, empty="no trial is complete yet")
    if not names:
        return figure([], title=title, empty="the definition has no ranges")
    shown = data.sampled(MAX_TRIALS)
    if len(shown) < len(data.complete):
        title += f", {len(shown):,} of {len(data.complete):,} trials"
    n_columns = min(N_COLUMNS, len(names))
    n_rows = -(-len(names) // n_columns)
    layout: dict[str, Any] = {
        "grid": {"rows": n_rows, "columns": n_columns, "pattern": "independent", "ygap": 0.4},
        "height": PANEL_HEIGHT_PX * n_rows + 40,
    }
    traces = []
    for i, name in enumerate(names):
        suffix = "" if i == 0 else str(i + 1)
        domain = data.domains[name]
        trials = [trial for trial in shown if name in trial.params]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "showlegend": False,
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "x": [on_axis(trial.params[name], domain) for trial in trials],
                "y": [(trial.values or (0.0,))[0] for trial in trials],
                "text": [hover(trial.number, data.told(trial)) for trial in trials],
                "hovertemplate": "%{text}<br><b>%{y:.5g}</b><extra></extra>",
                "marker": marker(TrialState.COMPLETE, size=7, opacity=0.75),
            }
        )
        layout[f"xaxis{suffix}"] = parameter_axis(name, domain)
        layout[f"yaxis{suffix}"] = axis(data.metrics[0] if i % n_columns == 0 else "")
    return figure(traces, title=title, **layout)
