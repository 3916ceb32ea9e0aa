"""``/login``: a link that turns a token into a cookie."""

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse
from starlette.status import HTTP_303_SEE_OTHER

from hpsearch.api.auth import COOKIE_LIFE_S, cookie_name, cookie_value
from hpsearch.api.pages.render import render_page
from hpsearch.api.services import ServicesOf

router = APIRouter(include_in_schema=False)


@router.get("/login")
def login(request: Request, services: ServicesOf, token: str = "") -> Response:
    """Set the cookie and go to the studies, or ask for a token."""
    if not token:
        return render_page("login.html", {"problem": None, "came_with_token": False})
    services.tokens.identify(token)
    response = RedirectResponse("/", HTTP_303_SEE_OTHER)
    response.set_cookie(
        cookie_name(request),
        cookie_value(token),
        max_age=COOKIE_LIFE_S,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response
