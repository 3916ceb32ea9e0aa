"""The scripts of the pages: small modules written by hand, served from the package."""

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from hpsearch.errors import NotFound

router = APIRouter(include_in_schema=False)

_PACKAGE = "hpsearch.api.pages"
_YEAR_S = 31_536_000
MODULES = frozenset(
    {
        "chart.js", "compare.js", "editor.js", "events.js", "format.js", "histograms.js",
        "plots.js", "studies.js", "study.js", "times.js", "trial.js", "trials.js", "verbs.js",
        "workers.js",
    }
)  # fmt: skip


@router.get("/assets/{version}/{name}")
def module(request: Request, version: str, name: str) -> Response:
    """Return a module; its address changes with its content, so browsers keep it.

    Raises:
        NotFound: There is no such module.
    """
    if name not in MODULES:
        raise NotFound("there is no such script")
    headers = {"ETag": f'"{assets_version()}"', "Cache-Control": "private, no-cache"}
    if version == assets_version():
        headers["Cache-Control"] = f"private, max-age={_YEAR_S}, immutable"
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(_text(name), media_type="text/javascript", headers=headers)


@cache
def assets_version() -> str:
    """Return what names this version of all modules."""
    digest = hashlib.sha256()
    for name in sorted(MODULES):
        digest.update(_text(name))
    return digest.hexdigest()[:12]


@cache
def _text(name: str) -> bytes:
    return files(_PACKAGE).joinpath("static", name).read_bytes()
