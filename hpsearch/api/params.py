"""What stands in paths, queries and headers, checked before it reaches anything."""

import re
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from hpsearch.errors import FieldError, RequestInvalid, StudyNotFound, TrialNotFound
from hpsearch.spec.states import Origin, StudyState, TrialState
from hpsearch.storage.trials import MAX_TRIAL_NUMBER

MAX_SHOWN_CHARS = 100
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def study_name(
    name: Annotated[str, Path(description="name of the study", examples=["mnist-random"])],
) -> str:
    """Return a name that a study can have.

    Raises:
        StudyNotFound: No study can be called so; the database is not even asked.
    """
    if not NAME.fullmatch(name):
        raise StudyNotFound(name[:MAX_SHOWN_CHARS])
    return name


StudyName = Annotated[str, Depends(study_name)]


async def trial_number(
    name: StudyName,
    number: Annotated[int, Path(ge=0, le=2**63 - 1, description="from 0", examples=[7])],
) -> int:
    """Return a number that a trial can have.

    Raises:
        TrialNotFound: No trial's number is that large.
    """
    if number > MAX_TRIAL_NUMBER:
        raise TrialNotFound(name, number)
    return number


TrialNumber = Annotated[int, Depends(trial_number)]


async def idempotency_key(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="any text; within 24 hours the same key with the same body gives the "
            "study of the first call",
        ),
    ] = None,
) -> str | None:
    """Return the key of a call that may be repeated.

    Raises:
        RequestInvalid: It is not 1 to 255 visible ASCII characters.
    """
    if key is not None and not _KEY.fullmatch(key):
        msg = "expected 1 to 255 visible ASCII characters"
        raise RequestInvalid([FieldError(("Idempotency-Key",), msg, key)])
    return key


IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("must be text without NUL characters")
    return text


Text = Annotated[str, Field(max_length=1024), AfterValidator(_storable)]


class Parameters(BaseModel):
    """A query: unknown parameters are refused, empty ones are as good as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].get_default() if value == "" else value


class Page(Parameters):
    """Which part of a list."""

    limit: int = Field(100, ge=1, le=1000, description="most entries in this page")
    page_token: Text | None = Field(None, description="`next_page_token` of the page before")


class StudyFilter(Page):
    """Which studies."""

    state: StudyState | None = Field(None, description="only those in this state")
    tag: Text | None = Field(None, description="only those with this tag")


class TrialFilter(Page):
    """Which trials, in which order."""

    state: TrialState | None = Field(None, description="only those in this state")
    origin: Origin | None = Field(None, description="only those whose point came from there")
    order_by: Literal["number", "-number", "value", "-value"] = Field(
        "number", description="`value`: best first"
    )


class CurveFilter(Parameters):
    """Which curves, and how finely; a page holds whole trials."""

    limit: int = Field(100, ge=1, le=1000, description="most trials in this page")
    page_token: Text | None = Field(None, description="`next_page_token` of the page before")

    metric: Text | None = Field(None, description="only this metric, such as `val_loss`")
    number: list[Annotated[int, Field(ge=0, le=MAX_TRIAL_NUMBER)]] | None = Field(
        None, max_length=1000, description="only these trials; may be repeated"
    )
    points: int = Field(
        100, ge=2, le=10_000, description="most epochs of one trial; in between are left out"
    )


PageOf = Annotated[Page, Query()]
StudyFilterOf = Annotated[StudyFilter, Query()]
TrialFilterOf = Annotated[TrialFilter, Query()]
CurveFilterOf = Annotated[CurveFilter, Query()]
