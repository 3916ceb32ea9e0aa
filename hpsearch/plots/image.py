"""Figures as pictures, where an exporter is installed."""

import importlib.util
from typing import Any

from hpsearch.errors import FieldError, RequestInvalid
from hpsearch.plots.style import Figure

WIDTH_PX, HEIGHT_PX, SCALE = 1100, 560, 2


def png(document: Figure) -> bytes:
    """Return a figure as PNG, 1100 x 560 pixels at twice the density.

    Raises:
        RequestInvalid: The package kaleido, which draws it, is not installed.
    """
    if importlib.util.find_spec("kaleido") is None:
        msg = "png needs the package kaleido on the server; html and json work without"
        raise RequestInvalid([FieldError(("query", "format"), msg, "png")])
    import plotly.io

    layout: dict[str, Any] = {**document["layout"], "paper_bgcolor": "white"}
    picture: bytes = plotly.io.to_image(
        {**document, "layout": layout}, "png", width=WIDTH_PX, height=HEIGHT_PX, scale=SCALE
    )
    return picture
