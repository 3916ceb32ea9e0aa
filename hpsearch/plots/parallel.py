"""Every complete trial as one line through all its parameters.

Drawn as ordinary lines: Plotly's own parallel coordinates need WebGL, which remote desktops,
old machines and headless browsers do not have.
"""

import math
from dataclasses import dataclass
from typing import Any

from hpsearch.plots.data import PlotData, PlotTrial
from hpsearch.plots.style import RED, Figure, Trace, figure, hover, label
from hpsearch.spec.sections import Direction
from hpsearch.spec.space import CategoricalDomain, Domain, FloatDomain, ParameterValue

MAX_DIMENSIONS = 12  # more columns are too narrow to read; the most important ones are kept
MAX_LINES = 400  # more are a cloud; the best are kept
MAX_TICKS = 8
# nine stops of Cividis (Nuñez et al., PLOS ONE 2018), from worst to best
CIVIDIS = (
    "#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78",
    "#9b9476", "#bcae6c", "#dfca5a", "#fee838",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Axis:
    """One column: where values stand between 0 and 1, and its ticks."""

    title: str
    places: dict[int, float]
    ticks: list[tuple[float, str]]


def parallel(data: PlotData) -> Figure:
    """Return parallel coordinates; the brighter a line, the better, the best one stands out."""
    ranked = _best_first(data)[:MAX_LINES]
    used = {name for trial in ranked for name in trial.params}
    shared = [
        name
        for name in data.domains
        if name in used and all(name in trial.params for trial in ranked)
    ]
    n_partial = len(used) - len(shared)
    shared.sort(key=lambda name: -data.importance.get(name, 0.0))
    title = f"Parameters and {data.metrics[0]} of complete trials"
    if n_partial:
        title += f" ({n_partial} parameters that only some trials have are left out)"
    if not ranked:
        return figure([], title=title, empty="no trial is complete yet")
    axes = [_parameter(name, data.domains[name], ranked) for name in shared[:MAX_DIMENSIONS]]
    axes.append(_values(data, ranked))
    last = len(axes) - 1
    return figure(
        _lines(ranked, axes),
        title=title,
        annotations=[note for i, axis in enumerate(axes) for note in _notes(i, axis)],
        shapes=[_rule(i) for i in range(len(axes))],
        xaxis={"visible": False, "range": [-0.15 * max(1, last), last + 0.1 * max(1, last)]},
        yaxis={"visible": False, "range": [-0.04, 1.16]},
        margin={"l": 16, "r": 48, "t": 64, "b": 24},
    )


def _best_first(data: PlotData) -> list[PlotTrial]:
    sign = -1.0 if data.directions[0] is Direction.MAXIMIZE else 1.0
    return sorted(data.complete, key=lambda trial: sign * (trial.values or (0.0,))[0])


def _parameter(name: str, domain: Domain, trials: list[PlotTrial]) -> _Axis:
    values = {trial.number: trial.params[name] for trial in trials}
    if isinstance(domain, CategoricalDomain):
        used = [choice for choice in domain.choices if choice in values.values()]
        place = {label(choice): _share(i, 0, len(used) - 1) for i, choice in enumerate(used)}
        ticks = [(at, text) for text, at in place.items()][:MAX_TICKS]
        return _Axis(name, {n: place[label(v)] for n, v in values.items()}, ticks)
    return _numeric(name, values, is_log=domain.log, is_real=isinstance(domain, FloatDomain))


def _values(data: PlotData, trials: list[PlotTrial]) -> _Axis:
    values = {trial.number: (trial.values or (0.0,))[0] for trial in trials}
    return _numeric(data.metrics[0], values, is_log=False, is_real=True)


def _numeric(name: str, values: dict[int, Any], *, is_log: bool, is_real: bool) -> _Axis:
    scale = math.log if is_log else float
    low, high = min(values.values()), max(values.values())
    places = {n: _share(scale(v), scale(low), scale(high)) for n, v in values.items()}
    ends: list[ParameterValue] = [float(low), float(high)] if is_real else [low, high]
    ticks = [(0.0, label(ends[0])), (1.0, label(ends[1]))] if low < high else [(0.5, label(low))]
    return _Axis(name, places, ticks)


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high <= low else (value - low) / (high - low)


def _lines(ranked: list[PlotTrial], axes: list[_Axis]) -> list[Trace]:
    """Return one trace a shade, the best drawn last."""
    n_shades = len(CIVIDIS)
    shades: dict[int, list[PlotTrial]] = {}
    for rank, trial in enumerate(ranked[1:]):
        shade = n_shades - 1 - rank * n_shades // max(1, len(ranked) - 1)
        shades.setdefault(shade, []).append(trial)
    traces = [_trace(shades[shade], axes, CIVIDIS[shade], width=1.4) for shade in sorted(shades)]
    best = _trace(ranked[:1], axes, RED, width=3.5)
    return [*traces, {**best, "name": f"best: trial {ranked[0].number}", "showlegend": True}]


def _trace(trials: list[PlotTrial], axes: list[_Axis], colour: str, width: float) -> Trace:
    xs: list[float | None] = []
    ys: list[float | None] = []
    texts: list[str] = []
    for trial in trials:
        xs += [*range(len(axes)), None]
        ys += [*(axis.places[trial.number] for axis in axes), None]
        texts += [hover(trial.number, trial.params)] * (len(axes) + 1)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "line": {"color": colour, "width": width},
    }


def _notes(i: int, axis: _Axis) -> list[dict[str, Any]]:
    short = axis.title.split(".", 1)[-1]
    heading = {
        "x": i,
        "y": 1.08,
        "text": short,
        "showarrow": False,
        "textangle": -12,
        "hovertext": axis.title,
    }
    ticks = [
        {
            "x": i,
            "y": at,
            "text": text,
            "showarrow": False,
            "xanchor": "right",
            "xshift": -4,
            "font": {"size": 11},
            "bgcolor": "rgba(255,255,255,0.85)",  # lines cross behind it
        }
        for at, text in axis.ticks
    ]
    return [heading, *ticks]


def _rule(i: int) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": i,
        "x1": i,
        "y0": 0,
        "y1": 1,
        "line": {"width": 1, "color": "rgba(128,128,128,0.6)"},
    }
