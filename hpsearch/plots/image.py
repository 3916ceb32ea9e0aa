"""Figures as pictures, where an exporter is installed."""

import importlib.util
import threading
from typing import Any

from hpsearch.errors import FieldError, RequestInvalid, ServiceDown
from hpsearch.plots.style import Figure

WIDTH_PX, HEIGHT_PX, SCALE = 1100, 560, 2

_one_at_a_time = threading.Lock()  # each picture starts a browser of its own


def png(document: Figure) -> bytes:
    """Return a figure as PNG, at twice the density of 1100 x 560 pixels or of its own height.

    Raises:
        RequestInvalid: The package kaleido, which draws it, or the browser it draws with is not
            installed.
        ServiceDown: That browser failed.

    Cost: a Chromium is started, about three seconds; several wait for each other.
    """
    if importlib.util.find_spec("kaleido") is None:
        raise _missing("the package kaleido on the server (pip install kaleido)")
    import plotly.io

    layout: dict[str, Any] = {**document["layout"], "paper_bgcolor": "white"}
    size = {"width": WIDTH_PX, "height": layout.get("height", HEIGHT_PX), "scale": SCALE}
    with _one_at_a_time:
        try:
            picture: bytes = plotly.io.to_image({**document, "layout": layout}, "png", **size)
        except RuntimeError as error:
            if "Chrome" not in str(error):
                raise ServiceDown("kaleido", str(error) or type(error).__name__) from error
            raise _missing("Chromium or Chrome on the server, which kaleido draws with") from error
    return picture


def _missing(what: str) -> RequestInvalid:
    msg = f"png needs {what}; html and json work without"
    return RequestInvalid([FieldError(("query", "format"), msg, "png")])
