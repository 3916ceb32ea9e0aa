import time
from typing import Any

import pytest

from hpsearch.spec.findings import Severity
from hpsearch.spec.sections import Limits
from hpsearch.training.preflight import clock, overfit
from hpsearch.training.preflight.checks import preflight
from hpsearch.training.preflight.clock import Clock, InterruptedPreflightError, limit_of
from tests.lanes import class_splits, line_splits
from tests.unit.training.preflight.cases import by_check, definition, images, table

CHECKS = {
    "finite", "classes", "sizes", "features", "duplicates",
    "initial_loss", "penalty", "activations", "gradients", "overfit",
}  # fmt: skip

MNIST = {"name": "mnist"}  # an example is as large as one of `images`


@pytest.fixture
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a busy machine the time it needs."""
    monkeypatch.setattr(clock, "SHORTEST_S", 30.0)
    monkeypatch.setattr(overfit, "LONGEST_S", 20.0)


@pytest.mark.usefixtures("_unhurried")
def test_a_sound_study_is_told_nothing() -> None:
    found = by_check(definition(), images())
    assert set(found) == CHECKS
    assert {finding.severity for finding in found.values()} == {Severity.OK}


@pytest.mark.usefixtures("_unhurried")
def test_a_regression_is_checked_the_same_way() -> None:
    found = by_check(definition(), line_splits())
    assert set(found) == CHECKS - {"classes"} | {"targets"}
    assert {finding.severity for finding in found.values()} == {Severity.OK}


def test_data_that_cannot_be_trained_on_ends_the_checks() -> None:
    splits = table(class_splits().train.x, class_splits().train.y * 0, 4)
    found = by_check(definition(), splits)
    assert found["classes"].severity is Severity.FAILURE
    assert "overfit" not in found


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no slopes")

    monkeypatch.setattr("hpsearch.training.preflight.checks.check_gradients", broken)
    found = by_check(definition(), class_splits())
    assert found["gradients"].severity is Severity.SKIPPED
    assert found["gradients"].message == "could not run: ZeroDivisionError: no slopes"
    assert found["overfit"].severity is Severity.OK


def test_an_interruption_leaves_at_once() -> None:
    with pytest.raises(InterruptedPreflightError):
        preflight(definition(), class_splits(), interrupted=lambda: True)


def test_without_time_what_is_left_is_skipped() -> None:
    in_no_time = definition(limits={"timeout_s": 1e-6})
    found = by_check(in_no_time, class_splits())
    assert {found[check].severity for check in ("networks", "gradients", "overfit")} == {
        Severity.SKIPPED
    }


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({"max_trials": 3}, 5.0),
        ({"max_trials": 3, "device_seconds": 1000.0}, 20.0),
        ({"timeout_s": 100.0, "device_seconds": 1000.0}, 5.0),
        ({"timeout_s": 1e6}, 30.0),
        ({"device_seconds": 10.0}, 2.0),
    ],
)
def test_the_limit_is_five_seconds_or_two_percent_of_the_budget_within_reason(
    limits: dict[str, float], seconds: float
) -> None:
    assert limit_of(Limits(**limits)) == pytest.approx(seconds)


def test_long_sequences_do_not_take_longer_than_there_is_time() -> None:
    pixels = {"family": "recurrent", "cell": "lstm", "hidden_layers": 8, "hidden_units": 256}
    began = time.process_time()
    found = by_check(definition(dataset=MNIST, model={**pixels, "steps": 784}), images())
    assert time.process_time() - began < 5.0
    assert found["gradients"].severity is Severity.SKIPPED
    assert found["overfit"].severity is Severity.SKIPPED
    assert "too large" in found["overfit"].message


def test_a_clock_within_another_never_has_more_time() -> None:
    assert Clock.within(Clock(0.0, lambda: False), 10.0).is_over()
    assert Clock.within(Clock(10.0, lambda: False), 5.0).left_s <= 5.0
