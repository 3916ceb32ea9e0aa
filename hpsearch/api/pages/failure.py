"""What a browser shows when something fails; scripts get the same as a problem."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hpsearch.api.pages.render import render_page

MACHINE_PATHS = ("/v1", "/healthz", "/readyz", "/openapi.json", "/api", "/static", "/csv")
_KEPT_HEADERS = ("www-authenticate", "retry-after", "allow")


def wants_page(request: Request) -> bool:
    """Return whether a person in front of a browser asks for this address."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(
        MACHINE_PATHS
    )


def failure_page(request: Request, problem: Response) -> Response:
    """Return the page for a problem; without a token, the one that says how to log in."""
    content: dict[str, Any] = json.loads(bytes(problem.body))
    template = "login.html" if problem.status_code == 401 else "failure.html"
    headers = {name: problem.headers[name] for name in _KEPT_HEADERS if name in problem.headers}
    context = {"problem": content, "came_with_token": request.url.path == "/login"}
    return render_page(template, context, problem.status_code, headers)
