"""``/new``: a study written in the browser, checked as it is typed."""

from functools import cache
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from hpsearch.api.pages.render import render_page
from hpsearch.api.params import Parameters, Text
from hpsearch.api.services import IdentityOf, ServicesOf
from hpsearch.spec.dump import dump_yaml
from hpsearch.studies import read

router = APIRouter(include_in_schema=False)

_PACKAGE = "hpsearch.api.pages"


class Origin(Parameters):
    """Where the text comes from."""

    of: Text | None = Field(None, alias="from", description="a study to start from")


@router.get("/new")
def new_study_page(
    services: ServicesOf, identity: IdentityOf, query: Annotated[Origin, Query()]
) -> Response:
    """Show an editor with an example, or with another study's definition."""
    starts = dict(examples())
    chosen = next(iter(starts))
    if query.of is not None:
        study = read.get_study(services.database, query.of)
        chosen = f"like {study.name}"
        starts = {chosen: dump_yaml({**study.definition, "name": f"{study.name}-2"}), **starts}
    context = {
        "can_write": identity.scope != "read",
        "starts": starts,
        "text": starts[chosen],
        "data": {"starts": starts},
    }
    return render_page("new.html", context)


@cache
def examples() -> dict[str, str]:
    """Return the example definitions by name."""
    folder = files(_PACKAGE).joinpath("starts")
    found = sorted(path.name for path in folder.iterdir() if path.name.endswith(".yaml"))
    return {
        name.split("-", 1)[1].removesuffix(".yaml").replace("-", " "): folder.joinpath(
            name
        ).read_text(encoding="utf-8")
        for name in found
    }
