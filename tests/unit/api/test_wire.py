"""Views as JSON."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter
from typing_extensions import get_type_hints

from hpsearch.api import shapes
from hpsearch.api.examples import STUDY, TRIAL
from hpsearch.api.wire import JsonResponse, epoch, plain
from hpsearch.spec.states import Origin, TrialState
from hpsearch.spec.views import (
    AttemptView,
    EpochView,
    Failure,
    Progress,
    Pruned,
    StudyView,
    TrialCounts,
    TrialSummary,
    TrialView,
    Usage,
)

AT = datetime(2026, 3, 1, 9, 30, 0, 120, tzinfo=UTC)

SUMMARY = TrialSummary(
    number=3,
    state=TrialState.PRUNED,
    origin=Origin.SAMPLED,
    params={"optimizer.learning_rate": 0.1, "model.batch_norm": True, "x": None},
    values=None,
    test=None,
    epochs=2,
    best_epoch=1,
    stopped_early=False,
    n_parameters=10,
    device_seconds=1.5,
    failure=None,
    pruned=Pruned("median", 2, math.nan, 0.5),
    created_at=AT,
    started_at=AT,
    finished_at=None,
)


def test_a_time_of_another_zone_comes_out_in_utc_with_z() -> None:
    at = datetime(2026, 3, 1, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert plain(at) == "2026-03-01T09:30:00Z"


def test_a_trial_has_exactly_the_fields_of_the_contract() -> None:
    row = plain(SUMMARY)
    assert row.keys() == get_type_hints(shapes.TrialInList).keys()
    assert row["state"] == "PRUNED"
    assert row["params"] == {"optimizer.learning_rate": 0.1, "model.batch_norm": True, "x": None}
    assert row["created_at"] == "2026-03-01T09:30:00.000120Z"
    TypeAdapter(shapes.TrialInList).validate_python(row)


def test_a_non_finite_number_is_null_and_named_in_its_own_object() -> None:
    row = plain(SUMMARY)["pruned"]
    assert row == {
        "rule": "median",
        "epoch": 2,
        "value": None,
        "threshold": 0.5,
        "nonfinite": {"value": "nan"},
    }


@pytest.mark.parametrize(
    ("value", "name"), [(math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan")]
)
def test_an_epoch_is_flat_and_names_what_was_not_finite(value: float, name: str) -> None:
    view = EpochView(4, 2, {"train_loss": 0.5, "val_loss": value})
    expected = {
        "epoch": 2,
        "train_loss": 0.5,
        "val_loss": None,
        "nonfinite": {"val_loss": name},
    }
    assert epoch(view, with_number=False) == expected
    assert epoch(view, with_number=True) == {"number": 4, **expected}


@pytest.mark.parametrize(
    ("view", "shape"),
    [
        (StudyView, shapes.Study),
        (TrialView, shapes.Trial),
        (TrialSummary, shapes.TrialInList),
        (AttemptView, shapes.Attempt),
        (TrialCounts, shapes.Counts),
        (Progress, shapes.Progress),
        (Usage, shapes.Usage),
        (Failure, shapes.Failure),
        (Pruned, shapes.Pruned),
    ],
)
def test_what_openapi_shows_are_the_fields_that_come(view: type, shape: type) -> None:
    assert set(get_type_hints(shape)) - {"nonfinite"} == set(get_type_hints(view))


def test_the_examples_have_the_shapes_they_stand_for() -> None:
    TypeAdapter(shapes.Study).validate_python(STUDY)
    TypeAdapter(shapes.Trial).validate_python(TRIAL)
    assert STUDY.keys() == get_type_hints(shapes.Study).keys()
    assert TRIAL.keys() == get_type_hints(shapes.Trial).keys()


def test_text_that_is_no_unicode_does_not_break_an_answer() -> None:
    assert json.loads(bytes(JsonResponse({"detail": "a\ud800b"}).body)) == {"detail": "a?b"}
