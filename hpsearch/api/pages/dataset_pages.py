"""``/datasets``: what can be trained on."""

from fastapi import APIRouter, Response

from hpsearch.api.pages.render import render_page
from hpsearch.api.services import ServicesOf
from hpsearch.studies import datasets

router = APIRouter(include_in_schema=False)

MAX_SHOWN = 1_000


@router.get("/datasets")
def datasets_page(services: ServicesOf) -> Response:
    """Show the data sets of the installation and the uploaded ones."""
    views, _ = datasets.list_datasets(services.database, limit=MAX_SHOWN)
    return render_page("datasets.html", {"datasets": views})
