"""What users ask of studies and trials that are there: JSON objects out of bodies."""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpsearch.api.bodies import JSON, checked_media_type
from hpsearch.errors import FieldError, RequestInvalid
from hpsearch.spec.yaml import load_json
from hpsearch.storage.trials import MAX_TRIAL_NUMBER

MERGE_PATCH = "application/merge-patch+json"

PATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "limits": {"type": "object"},
                        "weight": {"type": "number"},
                        "description": {"type": "string"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                    },
                    "additionalProperties": False,
                },
                "example": {"limits": {"max_trials": 50, "timeout_s": None}, "weight": 2},
            }
        },
    }
}


class TrialWish(BaseModel):
    """Which trials to add: a point of one's own, or another trial's."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    params: dict[str, Any] | None = Field(
        None, description="values by parameter; missing ones are sampled"
    )
    from_trial: int | None = Field(
        None, ge=0, le=MAX_TRIAL_NUMBER, description="a trial with the same point"
    )
    count: int = Field(1, ge=1, le=1000, description="how many; same point, other seeds")


WISH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": TrialWish.model_json_schema(),
                "examples": {
                    "point": {
                        "summary": "a learning rate; the rest is sampled",
                        "value": {"params": {"optimizer.learning_rate": 0.01}},
                    },
                    "seeds": {
                        "summary": "the point of trial 7 with five other seeds",
                        "value": {"from_trial": 7, "count": 5},
                    },
                },
            }
        },
    }
}


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object a request brings.

    Raises:
        UnsupportedMediaType: It claims to be something else.
        MalformedBody: It is no JSON.
        RequestInvalid: It is no object.
    """
    checked_media_type(request, JSON, MERGE_PATCH)
    value = load_json(await request.body())
    if not isinstance(value, dict):
        raise RequestInvalid([FieldError((), "expected a JSON object", value)])
    return value


async def read_wish(request: Request) -> TrialWish:
    """Return which trials a request wants.

    Raises:
        RequestInvalid: It has unknown or wrong fields.
    """
    try:
        return TrialWish.model_validate(await read_object(request))
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error


PatchOf = Annotated[dict[str, Any], Depends(read_object)]
TrialWishOf = Annotated[TrialWish, Depends(read_wish)]
