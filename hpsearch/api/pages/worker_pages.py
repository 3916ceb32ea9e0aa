"""``/workers``: who trains what at this moment."""

from fastapi import APIRouter, Response

from hpsearch.api.pages.render import render_page
from hpsearch.api.services import ServicesOf
from hpsearch.studies.crew import crew

router = APIRouter(include_in_schema=False)


@router.get("/workers")
def workers_page(services: ServicesOf) -> Response:
    """Show the workers; the page looks again every few seconds."""
    return render_page("workers.html", {"workers": crew(services.database)})
