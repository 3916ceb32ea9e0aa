"""How every figure looks: one palette, one shape a state, one layout.

The colours are those of Okabe and Ito (Color Universal Design, 2008), told apart by people with
any colour vision; every state has a shape of its own besides, so that no figure needs colour.
"""

from collections.abc import Sequence
from typing import Any

from hpsearch.spec.space import CategoricalDomain, Domain, IntDomain, ParameterValue
from hpsearch.spec.states import AttemptState, TrialState

Trace = dict[str, Any]
Figure = dict[str, Any]

BLUE, ORANGE, RED = "#0072B2", "#E69F00", "#D55E00"
GREEN, SKY, PURPLE, GREY = "#009E73", "#56B4E9", "#CC79A7", "#8A8F98"

STATE_COLOUR = {
    TrialState.COMPLETE: BLUE,
    TrialState.PRUNED: ORANGE,
    TrialState.FAIL: RED,
    TrialState.RUNNING: GREEN,
    TrialState.WAITING: GREY,
}
STATE_SYMBOL = {
    TrialState.COMPLETE: "circle",
    TrialState.PRUNED: "triangle-down-open",
    TrialState.FAIL: "x-thin-open",
    TrialState.RUNNING: "circle-open",
    TrialState.WAITING: "square-open",
}
ATTEMPT_COLOUR = {
    AttemptState.SUCCEEDED: BLUE,
    AttemptState.FAILED: RED,
    AttemptState.LOST: PURPLE,
    AttemptState.PREEMPTED: SKY,
    AttemptState.CANCELLED: GREY,
    AttemptState.RUNNING: GREEN,
}
ATTEMPT_PATTERN = {
    AttemptState.SUCCEEDED: "",
    AttemptState.FAILED: "x",
    AttemptState.LOST: "/",
    AttemptState.PREEMPTED: ".",
    AttemptState.CANCELLED: "-",
    AttemptState.RUNNING: "+",
}
SEQUENTIAL = "Cividis"  # even for every colour vision

FEW = 8  # integers of a range that each get a tick
MANY_TIMES = 10.0  # largest over smallest size from which a linear axis hides the small ones
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_GRID = "rgba(128,128,128,0.2)"


def figure(traces: Sequence[Trace], *, title: str, empty: str = "", **layout: Any) -> Figure:
    """Return a figure as a Plotly document.

    Args:
        traces: What is drawn.
        title: Says what the figure shows.
        empty: Shown in the middle if there is nothing to draw.
        layout: More of Plotly's layout.
    """
    annotations = list(layout.pop("annotations", []))
    if not traces and empty:
        # axes without data would claim a range
        hidden = {"visible": False}
        layout = {key: value for key, value in layout.items() if "axis" not in key}
        layout |= {"xaxis": hidden, "yaxis": hidden}
        annotations.append(
            {
                "text": empty,
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": 0.5,
                "y": 0.5,
                "font": {"size": 15},
            }
        )
    return {
        "data": list(traces),
        "layout": {
            "title": {
                "text": title,
                "font": {"size": 16},
                "x": 0.01,
                "xanchor": "left",
                "yref": "container",
                "y": 1,
                "yanchor": "top",
                "pad": {"t": 12},
            },
            "font": {"family": _FONT, "size": 13, "color": GREY},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 64, "r": 24, "t": 76, "b": 56},
            "legend": {"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0},
            "hovermode": "closest",
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "orientation": "v"},
            "colorway": [BLUE, ORANGE, GREEN, RED, PURPLE, SKY],
            "annotations": annotations,
            **layout,
        },
    }


def axis(title: str, *, is_log: bool = False, **more: Any) -> dict[str, Any]:
    """Return an axis with a quiet grid."""
    # whole numbers at each tick: Plotly's own would write 2, 5 between powers of ten
    kind = {"type": "log", "tickformat": "~g", "nticks": 4} if is_log else {}
    return {
        "title": {"text": title},
        "gridcolor": _GRID,
        "zeroline": False,
        "automargin": True,
        **kind,
        **more,
    }


def parameter_axis(name: str, domain: Domain, **more: Any) -> dict[str, Any]:
    """Return an axis for a parameter: logarithmic or by category where the domain is."""
    if isinstance(domain, CategoricalDomain):
        order = [label(choice) for choice in domain.choices]
        return axis(name, type="category", categoryorder="array", categoryarray=order, **more)
    if isinstance(domain, IntDomain) and not domain.log and domain.size <= FEW:
        more = {"dtick": domain.step, "tick0": domain.low, **more}
    return axis(name, is_log=domain.log, **more)


def metric_axis(metric: str, values: Sequence[float], **more: Any) -> dict[str, Any]:
    """Return an axis for an objective; sizes that differ by orders of magnitude are on a log."""
    is_size = metric == "n_parameters" and bool(values) and min(values) > 0
    return axis(metric, is_log=is_size and max(values) > MANY_TIMES * min(values), **more)


def on_axis(value: ParameterValue, domain: Domain) -> ParameterValue:
    """Return a value as its axis wants it: categories as text, numbers as they are."""
    return label(value) if isinstance(domain, CategoricalDomain) else value


def label(value: ParameterValue) -> str:
    """Return a value as people write it in a definition."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def marker(state: TrialState, **more: Any) -> dict[str, Any]:
    """Return the marker of a state: its colour and its shape."""
    return {
        "color": STATE_COLOUR[state],
        "symbol": STATE_SYMBOL[state],
        "size": 9,
        "line": {"width": 1.5, "color": STATE_COLOUR[state]},
        **more,
    }


def hover(trial_number: int, params: dict[str, ParameterValue] | Any) -> str:
    """Return what is shown when the pointer rests on a trial."""
    lines = [f"<b>trial {trial_number}</b>"]
    lines += [f"{_escape(name)} = {_escape(label(value))}" for name, value in params.items()]
    return "<br>".join(lines[:25])


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
