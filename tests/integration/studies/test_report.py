from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from hpsearch.spec.states import FailureKind, StateReason, StudyState, TrialState
from hpsearch.storage.database import Database
from hpsearch.studies.control import cancel, pause
from hpsearch.studies.read import get_study, get_trial, study_epochs, trial_epochs
from hpsearch.studies.report import Ending, Verdict
from tests.studies import ended, epochs_of, metrics_of, stored


def test_epochs_are_there_the_moment_they_are_reported(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]

    decision = hand.report(epochs_of(trial, {1: 0.4, 2: 0.6}))[0]

    assert decision.verdict is Verdict.CONTINUE
    found, _ = trial_epochs(database, "study", 0)
    assert [(view.epoch, view.metrics) for view in found] == [
        (1, metrics_of(0.4)),
        (2, metrics_of(0.6)),
    ]


def test_a_report_sent_twice_is_recorded_once(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    message = epochs_of(trial, {1: 0.4}, device_seconds=2.0)

    hand.report(message)
    hand.report(message)
    hand.report(epochs_of(trial, {1: 0.9, 2: 0.5}, device_seconds=3.0))

    assert [v.metrics["val_accuracy"] for v in study_epochs(database, "study")] == [0.4, 0.5]
    assert get_study(database, "study").usage.device_seconds == pytest.approx(3.0)


def test_an_end_whose_acknowledgement_was_lost_is_answered_with_its_outcome(
    database: Database,
) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]

    assert hand.finish(trial, 0.7).verdict is Verdict.RECORDED
    assert hand.finish(trial, 0.9).verdict is Verdict.RECORDED

    view = get_trial(database, "study", 0)
    assert view.values == {"val_accuracy": 0.7}
    assert view.test == {"accuracy": 0.7, "loss": 1.0}
    assert get_study(database, "study").counts.complete == 1


def test_a_foreign_token_changes_nothing(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]

    decision = hand.finish(replace(trial, token="f" * 32), 0.7)

    assert decision.verdict is Verdict.FENCED
    assert get_trial(database, "study", 0).state is TrialState.RUNNING
    assert study_epochs(database, "study") == []


def test_the_last_trial_completes_the_study(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 3})
    for value, trial in zip((0.5, 0.9, 0.7), hand.claim(3), strict=True):
        hand.finish(trial, value)

    study = get_study(database, "study")

    assert (study.state, study.state_reason) == (StudyState.COMPLETED, StateReason.MAX_TRIALS)
    assert [trial.number for trial in study.best_trials] == [1]
    assert study.progress.fraction == 1.0
    assert study.finished_at is not None
    assert hand.claim(1) == []


def test_lanes_reported_in_any_order_by_many_workers_do_not_deadlock(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 24})
    claimed = hand.claim(24)

    def work(i: int) -> None:
        lanes = claimed[i::4] if i % 2 else list(reversed(claimed[i::4]))
        for epoch in range(1, 6):
            hand.report(*(epochs_of(trial, {epoch: 0.1 * epoch}) for trial in lanes))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    curves = [(view.number, view.epoch) for view in study_epochs(database, "study")]
    assert curves == [(number, epoch) for number in range(24) for epoch in range(1, 6)]


def test_a_diverged_trial_counts_and_says_why(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 1})
    trial = hand.claim(1)[0]
    failure = (FailureKind.DIVERGED, "the loss was nan in epoch 2")

    hand.report(replace(epochs_of(trial, {1: 0.4}), end=Ending(TrialState.FAIL, failure=failure)))

    view = get_trial(database, "study", 0)
    assert view.state is TrialState.FAIL
    assert view.failure is not None
    assert (view.failure.kind, view.failure.message) == failure
    assert view.values is None
    assert get_study(database, "study").state is StudyState.COMPLETED


def test_a_non_finite_metric_is_kept_as_it_is(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    metrics = {"val_accuracy": float("nan"), "val_loss": float("inf"), "train_loss": 1.0}

    hand.report(replace(epochs_of(trial, {}), epochs={1: metrics}))

    found = study_epochs(database, "study")[0].metrics
    assert str(found) == str(metrics)


def test_too_many_failures_fail_the_study(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 9, "max_failed_trials": 2})
    end = Ending(TrialState.FAIL, failure=(FailureKind.USER_ERROR, "no"))
    for trial in hand.claim(2):
        hand.report(replace(epochs_of(trial, {}), end=end))

    study = get_study(database, "study")
    assert (study.state, study.state_reason) == (
        StudyState.FAILED,
        StateReason.MAX_FAILED_TRIALS,
    )


def test_a_reached_target_ends_the_study_when_its_running_trials_have_ended(
    database: Database,
) -> None:
    hand = stored(database, objectives=[{"metric": "val_accuracy", "target_value": 0.9}])
    first, second = hand.claim(2)

    hand.finish(first, 0.95)
    assert get_study(database, "study").state is StudyState.STOPPING
    assert hand.claim(1) == []
    hand.finish(second, 0.5)

    study = get_study(database, "study")
    assert (study.state, study.state_reason) == (
        StudyState.COMPLETED,
        StateReason.TARGET_REACHED,
    )


def test_a_device_budget_ends_the_study(database: Database) -> None:
    hand = stored(database, limits={"device_seconds": 5})
    trial = hand.claim(1)[0]

    hand.report(ended(trial, 0.5, device_seconds=6.0))

    study = get_study(database, "study")
    assert (study.state, study.state_reason) == (
        StudyState.COMPLETED,
        StateReason.DEVICE_BUDGET,
    )


def test_a_trial_beyond_its_time_fails(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 2, "trial_timeout_s": 1e-6})
    trial = hand.claim(1)[0]

    assert hand.epoch(trial, 1).verdict is Verdict.FAILED

    failure = get_trial(database, "study", 0).failure
    assert failure is not None
    assert failure.kind is FailureKind.TIMEOUT


def test_lanes_of_a_paused_study_are_asked_back(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    pause(database, "study")
    assert hand.epoch(trial, 1).verdict is Verdict.HAND_BACK


def test_lanes_of_a_cancelled_study_are_fenced(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    cancel(database, "study")

    assert hand.finish(trial, 0.99).verdict is Verdict.FENCED

    view = get_trial(database, "study", 0)
    assert view.state is TrialState.FAIL
    assert view.failure is not None
    assert view.failure.kind is FailureKind.CANCELLED
    assert get_study(database, "study").progress.finished == 0
