"""Learning curves as points of an inline SVG."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpsearch.spec.views import EpochView

CLIP_FRAC = 0.02  # of all values at each end: one diverging trial must not flatten the others


@dataclass(frozen=True, slots=True)
class Curve:
    """One trial's curve, in the coordinates of its chart.

    Attributes:
        number: The trial.
        points: For ``<polyline points=…>``.
        is_single: Whether there is one point only, which a line would not show.
        end: Where it ends.
    """

    number: int
    points: str
    is_single: bool
    end: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chart:
    """The curves of one metric over epochs.

    Attributes:
        metric: What is drawn.
        width: Of the drawing, px.
        height: Of the drawing, px.
        low: Value at the lower edge.
        high: Value at the upper edge.
        last_epoch: Epoch at the right edge.
        curves: By trial number.
    """

    metric: str
    width: int
    height: int
    low: float
    high: float
    last_epoch: int
    curves: Mapping[int, Curve]


def draw_chart(
    epochs: Iterable[EpochView], metric: str, *, width: int, height: int
) -> Chart | None:
    """Return the curves of a metric, all on one scale; None if nothing finite is there."""
    series: dict[int, list[tuple[int, float]]] = {}
    for view in epochs:
        value = view.metrics.get(metric)
        if value is not None and math.isfinite(value):
            series.setdefault(view.number, []).append((view.epoch, value))
    if not series:
        return None
    low, high = _range([value for points in series.values() for _, value in points])
    last_epoch = max(points[-1][0] for points in series.values())
    curves = {}
    for number, points in series.items():
        places = [
            (
                _x(epoch, last_epoch, width),
                round(height * (1 - (min(max(value, low), high) - low) / (high - low)), 1),
            )
            for epoch, value in points
        ]
        text = " ".join(f"{x:g},{y:g}" for x, y in places)
        curves[number] = Curve(number, text, len(places) == 1, places[-1])
    return Chart(metric, width, height, low, high, last_epoch, curves)


def _range(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    n_clipped = int(CLIP_FRAC * len(ordered))
    low, high = ordered[n_clipped], ordered[-1 - n_clipped]
    if low == high:
        margin = abs(low) * 0.05 or 1.0
        return low - margin, high + margin
    return low, high


def _x(epoch: int, last_epoch: int, width: int) -> float:
    return round(width * (epoch - 1) / max(1, last_epoch - 1), 1)
