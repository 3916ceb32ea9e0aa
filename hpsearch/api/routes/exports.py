"""Results to take away: the model of a trial, the trials as a table."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from hpsearch.api import shapes
from hpsearch.api.params import Parameters, StudyName, TrialNumber
from hpsearch.api.services import ServicesOf
from hpsearch.api.wire import JsonResponse
from hpsearch.export.histograms import histograms
from hpsearch.export.onnx_file import to_onnx
from hpsearch.export.tables import trials_csv
from hpsearch.studies import read
from hpsearch.studies.models import get_model

router = APIRouter(tags=["exports"])

PAGE = 1000


class ModelQuery(Parameters):
    """In which form."""

    format: Literal["safetensors", "onnx"] = Field(
        "safetensors",
        description="`safetensors`: weights and scaling by name; `onnx`: from raw inputs to "
        "predictions, where the server has the library",
    )


@router.get(
    "/v1/studies/{name}/trials/{number}/model",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def get_trial_model(
    services: ServicesOf,
    name: StudyName,
    number: TrialNumber,
    query: Annotated[ModelQuery, Query()],
) -> Response:
    """Download the network of a trial's best epoch, normalisation included."""
    model = get_model(services.database, services.artifacts_dir, name, number)
    content = to_onnx(model) if query.format == "onnx" else model.to_safetensors()
    return _file(content, "application/octet-stream", f"{name}-{number}.{query.format}")


class HistogramQuery(Parameters):
    """How fine."""

    bins: int = Field(40, ge=1, le=200, description="of every tensor")


@router.get("/v1/studies/{name}/trials/{number}/histograms", response_model=shapes.HistogramList)
def get_histograms(
    services: ServicesOf,
    name: StudyName,
    number: TrialNumber,
    query: Annotated[HistogramQuery, Query()],
) -> Response:
    """Return how the weights of a trial's best epoch are distributed, tensor by tensor.

    Worked out from the stored model when asked: it costs training nothing.
    """
    model = get_model(services.database, services.artifacts_dir, name, number)
    return JsonResponse({"histograms": histograms(model.weights, query.bins)})


@router.get(
    "/v1/studies/{name}/trials.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}},
)
def get_trials_csv(services: ServicesOf, name: StudyName) -> Response:
    """Download all trials as CSV: parameters, objectives, test metrics, times in UTC."""
    trials, token = read.list_trials(services.database, name, limit=PAGE)
    while token is not None:
        page, token = read.list_trials(services.database, name, limit=PAGE, page_token=token)
        trials += page
    return _file(trials_csv(trials).encode(), "text/csv; charset=utf-8", f"{name}-trials.csv")


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
