"""Learning curves as points."""

import math

from hpsearch.api.pages.curves import draw_chart
from hpsearch.spec.views import EpochView


def epochs(number: int, *values: float) -> list[EpochView]:
    return [EpochView(number, i, {"val_loss": value}) for i, value in enumerate(values, 1)]


def test_the_best_value_is_at_the_top_and_the_last_epoch_at_the_right() -> None:
    chart = draw_chart(epochs(0, 0.0, 1.0, 2.0), "val_loss", width=100, height=50)
    assert chart is not None
    assert (chart.low, chart.high, chart.last_epoch) == (0.0, 2.0, 3)
    assert chart.curves[0].points == "0,50 50,25 100,0"
    assert chart.curves[0].end == (100, 0)


def test_one_diverging_trial_does_not_flatten_the_others() -> None:
    views = [view for n in range(30) for view in epochs(n, 1.0, 0.5)]
    chart = draw_chart([*views, *epochs(99, 1e9)], "val_loss", width=10, height=10)
    assert chart is not None
    assert chart.high == 1.0
    assert chart.curves[99].end == (0, 0)


def test_values_that_are_not_finite_leave_a_gap() -> None:
    chart = draw_chart(epochs(0, 1.0, math.inf, 2.0, math.nan), "val_loss", width=10, height=10)
    assert chart is not None
    assert len(chart.curves[0].points.split()) == 2


def test_equal_values_lie_in_the_middle() -> None:
    chart = draw_chart(epochs(0, 3.0), "val_loss", width=10, height=10)
    assert chart is not None
    assert chart.curves[0].end == (0, 5)


def test_without_values_there_is_no_chart() -> None:
    assert draw_chart(epochs(0, math.nan), "val_loss", width=10, height=10) is None
    assert draw_chart(epochs(0, 1.0), "val_accuracy", width=10, height=10) is None
