"""The value over two parameters at once."""

import math

from hpsearch.plots.data import PlotData, PlotTrial
from hpsearch.plots.style import (
    SEQUENTIAL,
    Figure,
    Trace,
    figure,
    hover,
    marker,
    on_axis,
    parameter_axis,
)
from hpsearch.spec.sections import Direction
from hpsearch.spec.space import CategoricalDomain, Domain
from hpsearch.spec.states import TrialState

N_CELLS = 32  # of the grid along each axis
MAX_TRIALS = 400  # drawn, and what the surface rests on: a quarter of a second of arithmetic
N_NEIGHBOURS = 4.0  # exponent of the inverse distance: only near trials count


def contour(data: PlotData, x: str, y: str) -> Figure:
    """Return the value interpolated between complete trials over two parameters.

    Inverse-distance weighting (Shepard, 1968) on axes scaled to 0..1, logarithms where the
    range is logarithmic. Categorical axes show the trials alone.
    """
    both = [trial for trial in data.complete if x in trial.params and y in trial.params]
    kept = {trial.number for trial in data.sampled(MAX_TRIALS)}
    trials = [trial for trial in both if trial.number in kept] or both[:MAX_TRIALS]
    title = f"{data.metrics[0]} over {x} and {y}"
    if len(trials) < len(both):
        title += f", {len(trials):,} of {len(both):,} trials"
    if not trials:
        return figure([], title=title, empty="no complete trial has both parameters")
    x_domain, y_domain = data.domains[x], data.domains[y]
    is_minimised = data.directions[0] is Direction.MINIMIZE
    traces: list[Trace] = []
    if _is_numeric(x_domain) and _is_numeric(y_domain) and len(trials) >= 3:
        traces.append(_surface(trials, x, y, data, is_minimised=is_minimised))
    values = [(trial.values or (0.0,))[0] for trial in trials]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "showlegend": False,
            "x": [on_axis(trial.params[x], x_domain) for trial in trials],
            "y": [on_axis(trial.params[y], y_domain) for trial in trials],
            "text": [hover(trial.number, data.told(trial)) for trial in trials],
            "customdata": values,
            "hovertemplate": "%{text}<br><b>%{customdata:.5g}</b><extra></extra>",
            "marker": marker(
                TrialState.COMPLETE,
                color=values,
                colorscale=SEQUENTIAL,
                reversescale=is_minimised,
                showscale=not traces,
                line={"width": 1, "color": "white"},
            ),
        }
    )
    return figure(
        traces,
        title=title,
        xaxis=parameter_axis(x, x_domain),
        yaxis=parameter_axis(y, y_domain),
    )


def _surface(
    trials: list[PlotTrial], x: str, y: str, data: PlotData, *, is_minimised: bool
) -> Trace:
    xs, x_unit = _grid(data.domains[x], trials, x)
    ys, y_unit = _grid(data.domains[y], trials, y)
    values = [(trial.values or (0.0,))[0] for trial in trials]
    steps = [i / (N_CELLS - 1) for i in range(N_CELLS)]
    z = [[_shepard(u, v, x_unit, y_unit, values) for u in steps] for v in steps]
    return {
        "type": "contour",
        "x": xs,
        "y": ys,
        "z": z,
        "colorscale": SEQUENTIAL,
        "reversescale": is_minimised,
        "contours": {"coloring": "heatmap"},
        "colorbar": {"title": {"text": data.metrics[0]}},
        "hoverinfo": "skip",
    }


def _is_numeric(domain: Domain) -> bool:
    return not isinstance(domain, CategoricalDomain)


def _grid(domain: Domain, trials: list[PlotTrial], name: str) -> tuple[list[float], list[float]]:
    """Return the grid's coordinates along one axis, and every trial's place from 0 to 1."""
    is_log = not isinstance(domain, CategoricalDomain) and domain.log
    raw = [float(str(trial.params[name])) for trial in trials]
    scaled = [math.log(value) if is_log else value for value in raw]
    low, width = min(scaled), max(max(scaled) - min(scaled), 1e-300)
    points = [low + width * i / (N_CELLS - 1) for i in range(N_CELLS)]
    coordinates = [math.exp(point) if is_log else point for point in points]
    return coordinates, [(value - low) / width for value in scaled]


def _shepard(u: float, v: float, xs: list[float], ys: list[float], values: list[float]) -> float:
    total = weighted = 0.0
    for x, y, value in zip(xs, ys, values, strict=True):
        weight = (1e-6 + (x - u) ** 2 + (y - v) ** 2) ** (-N_NEIGHBOURS / 2)
        total += weight
        weighted += weight * value
    return weighted / total
