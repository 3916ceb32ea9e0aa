"""Every figure by its kind."""

from enum import StrEnum

from hpsearch.errors import FieldError, RequestInvalid
from hpsearch.plots.contour import contour
from hpsearch.plots.curves import curves
from hpsearch.plots.data import PlotData
from hpsearch.plots.edf import edf
from hpsearch.plots.history import history
from hpsearch.plots.importance import importance
from hpsearch.plots.parallel import parallel
from hpsearch.plots.pareto import pareto
from hpsearch.plots.slice import slices
from hpsearch.plots.style import Figure
from hpsearch.plots.timeline import timeline

MIN_TOGETHER = 3  # complete trials from which a surface can be seen


class Kind(StrEnum):
    """The figures there are."""

    HISTORY = "history"
    CURVES = "curves"
    PARALLEL = "parallel"
    SLICE = "slice"
    CONTOUR = "contour"
    IMPORTANCE = "importance"
    EDF = "edf"
    TIMELINE = "timeline"
    PARETO = "pareto"


_PLAIN = {
    Kind.HISTORY: history,
    Kind.CURVES: curves,
    Kind.PARALLEL: parallel,
    Kind.IMPORTANCE: importance,
    Kind.EDF: edf,
    Kind.TIMELINE: timeline,
}


def draw(kind: Kind, data: PlotData, *, x: str | None = None, y: str | None = None) -> Figure:
    """Return a figure of one study as a Plotly document (``data`` and ``layout``).

    Args:
        kind: Which figure.
        data: The study.
        x: Parameter of a slice, or along the contour's first axis; default: the most important.
        y: Parameter along the contour's second axis; default: the next most important.

    Raises:
        RequestInvalid: A parameter the space does not have, or a figure the study cannot have.
    """
    for field, name in (("x", x), ("y", y)):
        if name is not None and name not in data.domains:
            known = ", ".join(data.domains) or "none: the definition has no ranges"
            raise _wrong(field, f"expected a parameter of the space ({known})", name)
    if kind is Kind.SLICE:
        return slices(data, x)
    if kind is Kind.CONTOUR:
        return contour(data, *_two_parameters(data, x, y))
    if kind is Kind.PARETO:
        if len(data.metrics) < 2:
            raise _wrong("kind", "a Pareto front needs two objectives, this study has one", kind)
        return pareto(data)
    return _PLAIN[kind](data)


def _two_parameters(data: PlotData, x: str | None, y: str | None) -> tuple[str, str]:
    order = sorted(
        data.used_parameters() or data.domains,
        key=lambda name: -data.importance.get(name, 0.0),
    )
    firsts = order if x is None else [x]
    seconds = order if y is None else [y]
    pairs = [(a, b) for a in firsts for b in seconds if a != b]
    if not pairs:
        raise _wrong("kind", "a contour needs two parameters, the space has fewer", "contour")
    pairs.sort(key=lambda pair: -sum(data.importance.get(name, 0.0) for name in pair))
    # parameters of two branches never come together
    enough = max(MIN_TOGETHER, len(data.complete) // 4)
    return next((pair for pair in pairs if _n_with(data, pair) >= enough), pairs[0])


def _n_with(data: PlotData, names: tuple[str, str]) -> int:
    return sum(all(name in trial.params for name in names) for trial in data.complete)


def _wrong(field: str, message: str, value: str) -> RequestInvalid:
    return RequestInvalid([FieldError(("query", field), message, value)])
