"""Which methods an address knows."""

from fastapi import FastAPI
from starlette.routing import Match, Mount
from starlette.types import Scope

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def allowed_methods(app: FastAPI, scope: Scope) -> list[str]:
    """Return the methods that an address answers, HEAD wherever GET is; mounts do not count.

    The framework's own 405 names those of the first route that fits; an address has several.
    """
    routes = [route for route in app.router.routes if not isinstance(route, Mount)]
    found = []
    for method in _METHODS:
        asked = {
            "type": "http",
            "method": method,
            "path": scope["path"],
            "root_path": "",
            "headers": [],
        }
        if any(route.matches(dict(asked))[0] is Match.FULL for route in routes):
            found.append(method)
    return [*found, "HEAD"] if "GET" in found else found
