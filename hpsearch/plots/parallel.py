"""Every complete trial as one line through all its parameters."""

import math
from typing import Any

from hpsearch.plots.data import PlotData, PlotTrial
from hpsearch.plots.style import SEQUENTIAL, Figure, figure, label
from hpsearch.spec.sections import Direction
from hpsearch.spec.space import CategoricalDomain, Domain

MAX_DIMENSIONS = 12  # more columns are too narrow to read; the most important ones are kept
MAX_TICKS = 12


def parallel(data: PlotData) -> Figure:
    """Return parallel coordinates of the parameters every complete trial has."""
    trials = data.complete
    shared = [
        name for name in data.used_parameters() if all(name in trial.params for trial in trials)
    ]
    shared.sort(key=lambda name: -data.importance.get(name, 0.0))
    left_out = max(0, len(shared) - MAX_DIMENSIONS)
    shared = shared[:MAX_DIMENSIONS]
    note = f", {left_out} parameters left out" if left_out else ""
    title = f"Parameters and {data.metrics[0]} of complete trials{note}"
    if not trials:
        return figure([], title=title, empty="no trial is complete yet")
    values = [(trial.values or (0.0,))[0] for trial in trials]
    trace = {
        "type": "parcoords",
        "line": {
            "color": values,
            "colorscale": SEQUENTIAL,
            "reversescale": data.directions[0] is Direction.MINIMIZE,
            "showscale": True,
        },
        "labelangle": -12,
        "dimensions": [
            {"label": data.metrics[0], "values": values},
            *(_dimension(name, data.domains[name], trials) for name in shared),
        ],
    }
    return figure([trace], title=title, margin={"l": 80, "r": 60, "t": 110, "b": 40})


def _dimension(name: str, domain: Domain, trials: list[PlotTrial]) -> dict[str, Any]:
    values = [trial.params[name] for trial in trials]
    if isinstance(domain, CategoricalDomain):
        used = [choice for choice in domain.choices if choice in values]
        place = {label(choice): i for i, choice in enumerate(used)}
        return {
            "label": name,
            "values": [place[label(value)] for value in values],
            "tickvals": list(place.values())[:MAX_TICKS],
            "ticktext": list(place)[:MAX_TICKS],
        }
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if not domain.log:
        return {"label": name, "values": numbers}
    logs = [math.log10(number) for number in numbers]
    ticks = range(math.floor(min(logs)), math.ceil(max(logs)) + 1)
    return {
        "label": name,
        "values": logs,
        "tickvals": list(ticks),
        "ticktext": [f"{10.0**tick:g}" for tick in ticks],
    }
