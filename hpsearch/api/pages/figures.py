"""Figures as pages: one alone, for a frame, and the report that holds them all in one file."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hpsearch.api.pages.render import template_text
from hpsearch.api.wire import plain
from hpsearch.spec.dump import dump_yaml
from hpsearch.spec.views import StudyView, TrialSummary

router = APIRouter(include_in_schema=False)

_PACKAGE = "hpsearch.api.pages"
_DAY_S = 86_400
# Plotly styles its own elements while it draws; scripts come from us alone
_FIGURE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


@router.get("/assets/plotly.min.js")
def plotly_script(request: Request) -> Response:
    """Return Plotly's own bundled JavaScript, compressed where that is understood."""
    return _asset(request, _plotly())


@router.get("/assets/figure.js")
def figure_script(request: Request) -> Response:
    """Return the few lines that draw a page's figures."""
    return _asset(request, _static("figure.js"))


def figure_page(title: str, document: Mapping[str, Any]) -> HTMLResponse:
    """Return one figure as a page of its own that a page of ours may frame."""
    text = template_text(
        "figure.html",
        {"title": title, "style": _safe("figure.css"), "document": _data(document)},
    )
    headers = {"Content-Security-Policy": _FIGURE_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return HTMLResponse(text, headers=headers)


def report_page(
    study: StudyView,
    best: Sequence[TrialSummary],
    documents: Sequence[Mapping[str, Any]],
) -> HTMLResponse:
    """Return a study in one file that needs no server: figures, best trials, definition."""
    plotly, script = _plotly(), _static("figure.js")
    text = template_text(
        "report.html",
        {
            "study": study,
            "at": datetime.now(UTC),
            "metrics": [objective["metric"] for objective in study.definition["objectives"]],
            "best": best,
            "documents": [_data(document) for document in documents],
            "definition": dump_yaml(study.definition),
            "style": _safe("figure.css"),
            "plotly": Markup(plotly),  # noqa: S704 - Plotly's own file
            "script": Markup(script),  # noqa: S704 - our own file
        },
    )
    policy = (
        f"default-src 'none'; script-src '{_hash(plotly)}' '{_hash(script)}'; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


def _data(document: Mapping[str, Any]) -> Markup:
    """Return a document as text that cannot leave the script element it stands in."""
    text = json.dumps(plain(document), allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - no tag can begin


def _asset(request: Request, text: str) -> Response:
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": f"private, max-age={_DAY_S}",
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = _compressed(text), "gzip"
    else:
        body = text.encode()
    return Response(body, media_type="text/javascript", headers=headers)


@cache
def _compressed(text: str) -> bytes:
    return gzip.compress(text.encode(), 6)


def _plotly() -> str:
    # read anew: five megabytes are not worth keeping in every API process
    path = files("plotly").joinpath("package_data", "plotly.min.js")
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script")


@cache
def _static(name: str) -> str:
    return files(_PACKAGE).joinpath("static", name).read_text(encoding="utf-8")


def _safe(name: str) -> Markup:
    return Markup(_static(name))  # noqa: S704 - our own file


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
