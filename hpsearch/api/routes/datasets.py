"""``/v1/datasets``: what can be trained on, and uploads of one's own."""

import hashlib
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated, Any

import anyio.to_thread
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field
from starlette.status import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from hpsearch.api import shapes
from hpsearch.api.bodies import checked_media_type
from hpsearch.api.examples import DATASET, DATASET_BODY
from hpsearch.api.params import NAME, PageOf, Parameters, Text
from hpsearch.api.services import IdentityOf, Services, ServicesOf
from hpsearch.api.wire import JsonResponse, plain
from hpsearch.datasets.upload import READERS
from hpsearch.errors import DatasetNotFound, FieldError, RequestInvalid
from hpsearch.spec.sections import Task
from hpsearch.spec.views import DatasetView
from hpsearch.studies import datasets
from hpsearch.studies.datasets import Upload

router = APIRouter(tags=["datasets"])

N_READERS = 2
"""Uploads understood at once: each takes a core; others wait their turn."""

_READERS: RunVar[anyio.CapacityLimiter] = RunVar("readers of uploads")
_WRITE_BYTES = 4 * 1024**2  # handed to the disk at once
_EXAMPLE: dict[str, Any] = {"content": {"application/json": {"example": DATASET}}}


async def dataset_name(
    name: Annotated[str, Path(description="name of the data set", examples=["housing"])],
) -> str:
    """Return a name that a data set can have.

    Raises:
        DatasetNotFound: None can be called so.
    """
    if not NAME.fullmatch(name):
        raise DatasetNotFound(name[:100])
    return name


DatasetName = Annotated[str, Depends(dataset_name)]


class UploadQuery(Parameters):
    """How a file is to be understood."""

    target: Text | None = Field(
        None, min_length=1, description="CSV: the column to predict; default: the last one"
    )
    task: Task | None = Field(None, description="default: inferred from the targets")


@router.get("/v1/datasets", response_model=shapes.DatasetList)
def list_datasets(services: ServicesOf, query: PageOf) -> Response:
    """List data sets by name, those of the installation included."""
    after = query.page_token
    if after is not None and not NAME.fullmatch(after):
        message = "expected a next_page_token of this list, as an earlier answer gave it"
        raise RequestInvalid([FieldError(("query", "page_token"), message, after)])
    views, last = datasets.list_datasets(services.database, limit=query.limit, after=after)
    return JsonResponse({"datasets": plain(views), "next_page_token": last})


@router.get("/v1/datasets/{name}", response_model=shapes.Dataset, responses={200: _EXAMPLE})
def get_dataset(services: ServicesOf, name: DatasetName) -> Response:
    """Return a data set: its task, its shape, and how its columns were understood."""
    return JsonResponse(plain(datasets.get_dataset(services.database, name)))


@router.put(
    "/v1/datasets/{name}",
    status_code=HTTP_201_CREATED,
    response_model=shapes.Dataset,
    responses={
        201: _EXAMPLE,
        200: {"model": shapes.Dataset, "description": "the same bytes and query were sent before"},
    },
    openapi_extra=DATASET_BODY,
)
async def put_dataset(
    services: ServicesOf,
    identity: IdentityOf,
    name: Annotated[str, Path(pattern=f"^{NAME.pattern}$", description="a new name")],
    query: Annotated[UploadQuery, Query()],
    request: Request,
) -> Response:
    """Upload a data set, CSV or npz. What stands under a name never changes.

    CSV: UTF-8 with a header; text columns become one feature for each of their values; an empty
    cell is refused with its column and line. npz: `x, y`, or `x_train, y_train` and perhaps
    `x_test, y_test`; `x` is `[n, features]`, `[n, height, width]` or `[n, steps, features]`.
    """
    media_type = checked_media_type(request, *READERS)
    datasets.check_name(name)
    with datasets.reception(services.artifacts_dir) as folder:
        path = folder / "upload"
        sha256, n_bytes = await _receive(request, path)
        upload = Upload(path, media_type, sha256, n_bytes, query.target, query.task)
        add = partial(_add, services, name, upload, identity.owner)
        view, is_new = await anyio.to_thread.run_sync(add, limiter=_readers())
    status = HTTP_201_CREATED if is_new else HTTP_200_OK
    headers = {"Location": f"/v1/datasets/{name}"} if is_new else None
    return JsonResponse(plain(view), status, headers=headers)


@router.delete("/v1/datasets/{name}", status_code=HTTP_204_NO_CONTENT)
def delete_dataset(services: ServicesOf, name: DatasetName) -> Response:
    """Delete an upload; 409 while a study needs it."""
    datasets.delete_dataset(services.database, services.artifacts_dir, name)
    return Response(status_code=HTTP_204_NO_CONTENT)


def _readers() -> anyio.CapacityLimiter:
    """Return the threads for reading uploads: few, and none of those that answer requests."""
    try:
        return _READERS.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(N_READERS)
        _READERS.set(limiter)
        return limiter


def _add(services: Services, name: str, upload: Upload, owner: str) -> tuple[DatasetView, bool]:
    return datasets.add_dataset(
        services.database,
        services.artifacts_dir,
        name,
        upload,
        owner=owner,
        max_bytes=services.max_dataset_bytes,
    )


async def _receive(request: Request, path: FilePath) -> tuple[str, int]:
    """Write the body to a file as it comes; return its hash and its length."""
    digest, n_bytes, block = hashlib.sha256(), 0, bytearray()
    with path.open("wb") as file:

        def write() -> None:
            digest.update(block)
            file.write(block)
            block.clear()

        async for chunk in request.stream():
            block += chunk
            n_bytes += len(chunk)
            if len(block) >= _WRITE_BYTES:
                await anyio.to_thread.run_sync(write)
        await anyio.to_thread.run_sync(write)
    return digest.hexdigest(), n_bytes
