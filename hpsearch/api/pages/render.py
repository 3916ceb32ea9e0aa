"""Templates to answers: escaped, styled by one sheet, scripted by our own modules alone."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from hpsearch.api.pages.assets import assets_version
from hpsearch.api.wire import plain

_PACKAGE = "hpsearch.api.pages"
MOST_DIGITS = 1e15  # larger whole numbers are written with a power of ten
_CODE = re.compile(r"`([^`]+)`")
_EMPHASIS = re.compile(r"\*(\w+)\*")


def render_page(
    template: str,
    context: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Return a page.

    Its content security policy allows the one style sheet (inline, by its hash), inline images,
    and scripts, requests, frames and forms of this server; nothing comes from elsewhere.
    """
    text = template_text(template, context)
    policy = (
        f"default-src 'none'; style-src '{_style_hash()}'; img-src data:; script-src 'self'; "
        "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return HTMLResponse(
        text, status, headers={**(headers or {}), "Content-Security-Policy": policy}
    )


def template_text(template: str, context: Mapping[str, Any]) -> str:
    """Return a template filled in, everything escaped that is not marked as safe."""
    return _environment().get_template(template).render(context)


def number(value: float | None) -> str:
    """Return a number to four digits, or a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    is_whole = isinstance(value, int) or (value.is_integer() and abs(value) < MOST_DIGITS)
    return f"{int(value):,}" if is_whole else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """Return seconds as ``1 h 05 min``, ``3 min 20 s`` or ``4.2 s``."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def moment(at: datetime | None) -> Markup:
    """Return a time to the second, in UTC, as an element that scripts turn to local time."""
    if at is None:
        return Markup("–")
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def page_data(value: Any) -> Markup:
    """Return a value as JSON that cannot leave the script element it stands in."""
    text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - no tag can begin


def prose(text: str) -> Markup:
    """Return a description's text with its `code` and *emphasis* as such."""
    marked = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_EMPHASIS.sub(r"<em>\1</em>", marked))  # noqa: S704 - escaped above


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, duration=duration, moment=moment, prose=prose, page_data=page_data
    )
    environment.globals["assets"] = f"/assets/{assets_version()}"
    environment.globals["style"] = Markup(_style())  # noqa: S704 - our own file
    return environment


@cache
def _style() -> str:
    return files(_PACKAGE).joinpath("static", "app.css").read_text(encoding="utf-8")


@cache
def _style_hash() -> str:
    digest = hashlib.sha256(_style().encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
