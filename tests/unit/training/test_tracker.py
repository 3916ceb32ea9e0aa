"""Best epoch and patience, by the rules of the contract."""

import json

import pytest

from hpsearch.spec.sections import Direction, EarlyStopping
from hpsearch.training.lanes import Goal
from hpsearch.training.tracker import Tracker, direction_of

LOSS = Goal("val_loss", Direction.MINIMIZE)
ACCURACY = Goal("val_accuracy", Direction.MAXIMIZE)


def epochs_until_the_end(values: list[float], rule: EarlyStopping, goal: Goal = LOSS) -> int:
    tracker = Tracker(goal, rule)
    for epoch, value in enumerate(values, 1):
        tracker.record(epoch, {"val_loss": value, "val_accuracy": value, "val_rmse": value})
        if tracker.is_out_of_patience:
            return epoch
    return 0  # it went on to the last


@pytest.mark.parametrize(
    ("goal", "values", "best"),
    [
        (LOSS, [3, 2, 1, 1, 2], 3),
        (ACCURACY, [0.5, 0.9, 0.9, 0.8], 2),
        (LOSS, [1, 1, 1], 1),
        (LOSS, [3, 2, 1], 3),
    ],
)
def test_the_best_epoch_is_the_earliest_of_the_best(
    goal: Goal, values: list[float], best: int
) -> None:
    tracker = Tracker(goal, None)
    for epoch, value in enumerate(values, 1):
        is_best = tracker.record(epoch, {goal.metric: value, "other": epoch})
        assert is_best == (tracker.best_epoch == epoch)
    assert tracker.best_epoch == best
    assert tracker.best_metrics["other"] == best


def test_patience_one_ends_at_the_first_epoch_that_is_no_better() -> None:
    assert epochs_until_the_end([3, 2, 2, 1], EarlyStopping(patience=1)) == 3


def test_patience_counts_epochs_in_a_row() -> None:
    values = [5.0, 6, 6, 4, 5, 5, 5, 1]
    assert epochs_until_the_end(values, EarlyStopping(patience=3)) == 7


def test_an_improvement_of_min_delta_or_less_is_none() -> None:
    values = [1.0, 0.75, 0.5, 0.25]  # exact in binary
    assert epochs_until_the_end(values, EarlyStopping(patience=1, min_delta=0.25)) == 2
    assert epochs_until_the_end(values, EarlyStopping(patience=1, min_delta=0.2)) == 0


def test_small_steps_add_up_against_the_best_so_far() -> None:
    values = [10.0, 9.5, 9.0, 8.5, 8.0, 7.5, 7.0]
    assert epochs_until_the_end(values, EarlyStopping(patience=3, min_delta=0.9)) == 0


def test_smoothing_compares_means_of_the_last_epochs() -> None:
    noisy = [4.0, 2, 3.9, 2.05, 3.8, 1.99, 3.7, 1.9]  # every second one is worse than the best
    assert epochs_until_the_end(noisy, EarlyStopping(patience=2)) == 4
    assert epochs_until_the_end(noisy, EarlyStopping(patience=2, smoothing=2)) == 0, "means fall"


def test_a_metric_that_should_grow_is_watched_for_growth() -> None:
    rule = EarlyStopping(metric="val_accuracy", patience=2)
    assert epochs_until_the_end([0.1, 0.2, 0.3, 0.3, 0.2], rule) == 5


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val_loss", Direction.MINIMIZE),
        ("val_rmse", Direction.MINIMIZE),
        ("val_accuracy", Direction.MAXIMIZE),
        ("val_r2", Direction.MAXIMIZE),
    ],
)
def test_a_metrics_name_says_which_way_is_better(metric: str, direction: Direction) -> None:
    assert direction_of(metric) is direction


def test_a_restored_tracker_decides_as_the_one_it_was_taken_from() -> None:
    rule = EarlyStopping(patience=3, smoothing=3)
    values = [5.0, 4.0, 4.5, 4.4, 4.6, 4.7, 4.8, 4.9]
    one = Tracker(LOSS, rule)
    for epoch, value in enumerate(values[:4], 1):
        one.record(epoch, {"val_loss": value})
    other = Tracker(LOSS, rule)
    other.restore(json.loads(json.dumps(one.state())))
    for epoch, value in enumerate(values[4:], 5):
        one.record(epoch, {"val_loss": value})
        other.record(epoch, {"val_loss": value})
        assert one.state() == other.state()
        assert one.is_out_of_patience == other.is_out_of_patience
