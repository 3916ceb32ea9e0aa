from typing import Any

import numpy as np
import pytest

from hpsearch.datasets.splits import Splits
from hpsearch.spec.findings import Finding, Severity
from hpsearch.training.preflight import overfit
from hpsearch.training.preflight.clock import Clock, InterruptedPreflightError
from tests.lanes import class_splits, line_splits
from tests.unit.training.preflight.cases import definition, images, table

SLOW = {"name": "sgd", "learning_rate": {"low": 1e-8, "high": 1e-6, "log": True}}


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overfit, "MAX_STEPS", 150)
    monkeypatch.setattr(overfit, "LONGEST_S", 60.0)  # the steps end it, however busy the machine


def check(splits: Splits, limit_s: float = 60.0, **changes: Any) -> Finding:
    clock = Clock(limit_s, lambda: False)
    space = definition(**changes).space
    return overfit.check_overfit(space, splits, seed=0, device="cpu", clock=clock)


@pytest.mark.parametrize(
    "splits", [class_splits(), images(), line_splits()], ids=["classes", "images", "targets"]
)
def test_a_sound_space_learns_a_few_examples_by_heart(splits: Splits) -> None:
    finding = check(splits)
    assert finding.severity is Severity.OK, finding
    assert finding.measured is not None


def test_learning_rates_that_are_too_small_are_told_to_rise() -> None:
    finding = check(images(), optimizer=SLOW)
    assert finding.severity is Severity.WARNING
    assert "raise the upper end of optimizer.learning_rate" in finding.message
    assert "32 examples" in finding.message


def test_learning_rates_that_are_too_large_are_told_to_fall() -> None:
    optimizer = {"name": "sgd", "learning_rate": {"low": 1e3 / 2, "high": 1e3}, "momentum": 0.99}
    finding = check(line_splits(), optimizer=optimizer)
    assert finding.severity is Severity.WARNING
    assert "lower optimizer.learning_rate" in finding.message


def test_first_weights_that_make_every_network_diverge_are_named() -> None:
    model = {"family": "mlp", "hidden_units": [64] * 6, "init": "normal", "init_scale": 10.0}
    finding = check(images(), model=model, optimizer={"name": "sgd", "learning_rate": 0.1})
    assert finding.severity is Severity.WARNING
    assert finding.measured is None
    assert "no point tried got through its first epoch" in finding.message
    assert "lower model.init_scale" in finding.message


def test_a_penalty_that_makes_every_step_overshoot_is_named() -> None:
    finding = check(images(), optimizer={"name": "sgd", "learning_rate": 0.01, "l2": 1000})
    assert finding.severity is Severity.WARNING
    assert "lower optimizer.l2" in finding.message


def test_a_penalty_that_forbids_learning_is_named() -> None:
    optimizer = {"name": "adam", "learning_rate": 1e-2, "l2": {"low": 5.0, "high": 10.0}}
    finding = check(line_splits(), optimizer=optimizer)
    assert finding.severity is Severity.WARNING
    assert "optimizer.l1 and l2" in finding.message


def test_a_schedule_that_ends_early_does_not_count() -> None:
    schedule = {"name": "exponential", "factor": 0.1}
    optimizer = {"name": "adam", "learning_rate": 1e-2, "schedule": schedule}
    assert check(images(), optimizer=optimizer).severity is Severity.OK


def test_without_time_nothing_is_decided() -> None:
    finding = check(images(), limit_s=0.05, optimizer=SLOW)
    assert finding.severity is Severity.SKIPPED
    assert "undecided" in finding.message


def test_an_interruption_leaves_at_once() -> None:
    clock = Clock(60.0, lambda: True)
    with pytest.raises(InterruptedPreflightError):
        overfit.check_overfit(
            definition().space, class_splits(), seed=0, device="cpu", clock=clock
        )


def test_a_study_without_ranges_is_tried_as_it_is() -> None:
    changes: dict[str, Any] = {
        "model": {"family": "mlp", "hidden_units": [64, 32]},
        "optimizer": {"name": "adam", "learning_rate": 1e-2},
        "training": {"epochs": 2, "batch_size": 4096},
    }
    assert check(class_splits(), **changes).severity is Severity.OK


def test_labels_that_contradict_each_other_cannot_be_learnt() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((200, 4)), 2, axis=0)
    y = np.arange(400) % 2
    finding = check(table(x, y, 2))
    assert finding.severity is Severity.WARNING


def test_a_perceptron_does_not_wait_for_slower_families_beside_it() -> None:
    slow = {"family": "recurrent", "cell": "lstm", "hidden_layers": 4, "hidden_units": 256}
    model = {"choices": [slow, {"family": "mlp", "hidden_units": 64}]}
    finding = check(images(), limit_s=5.0, model=model)
    assert finding.severity is Severity.OK, finding


def test_networks_too_large_to_draw_in_time_are_left_out() -> None:
    huge = {"family": "mlp", "hidden_units": [65_536, 65_536]}  # 17 GB of weights
    finding = check(images(), model=huge)
    assert finding.severity is Severity.SKIPPED
    assert "too large" in finding.message
    beside_a_small_one = {"choices": [{**huge, "label": "huge"}, {"family": "mlp"}]}
    assert check(images(), model=beside_a_small_one).severity is Severity.OK
