"""What a lane remembers of its epochs: the best one, and how long nothing got better."""

from collections.abc import Mapping
from typing import Any

from hpsearch.spec.sections import Direction, EarlyStopping
from hpsearch.training.lanes import Goal

_GROWING = ("accuracy", "r2")


class Tracker:
    """Best epoch by the goal, patience by the early-stopping metric.

    The best epoch is the earliest with the best value. Early stopping only decides when to stop:
    ``patience`` epochs in a row whose mean over the last ``smoothing`` epochs does not beat the
    best such mean by more than ``min_delta``.

    Args:
        goal: What decides the best epoch.
        early_stopping: The rule, or None.
    """

    def __init__(self, goal: Goal, early_stopping: EarlyStopping | None) -> None:
        self._goal = goal
        self._rule = early_stopping
        self.best_epoch: int | None = None
        self.best_metrics: dict[str, float] = {}
        self._best_mean: float | None = None
        self._window: list[float] = []
        self._waited = 0

    @property
    def is_out_of_patience(self) -> bool:
        """Whether early stopping ends the lane now."""
        return self._rule is not None and self._waited >= self._rule.patience

    def record(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Take note of a finished epoch and return whether it is the best so far."""
        self._wait(metrics)
        value = metrics[self._goal.metric]
        is_best = self.best_epoch is None or _is_better(
            value, self.best_metrics[self._goal.metric], self._goal.direction
        )
        if is_best:
            self.best_epoch, self.best_metrics = epoch, dict(metrics)
        return is_best

    def _wait(self, metrics: Mapping[str, float]) -> None:
        if self._rule is None:
            return
        self._window = [*self._window, metrics[self._rule.metric]][-self._rule.smoothing :]
        mean = sum(self._window) / len(self._window)
        sign = 1.0 if direction_of(self._rule.metric) is Direction.MAXIMIZE else -1.0
        if self._best_mean is None or sign * (mean - self._best_mean) > self._rule.min_delta:
            self._best_mean, self._waited = mean, 0
        else:
            self._waited += 1

    def state(self) -> dict[str, Any]:
        """Return everything remembered, JSON-ready."""
        return {
            "best_epoch": self.best_epoch,
            "best_metrics": self.best_metrics,
            "best_mean": self._best_mean,
            "window": self._window,
            "waited": self._waited,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what another tracker's :meth:`state` says."""
        self.best_epoch = state["best_epoch"]
        self.best_metrics = dict(state["best_metrics"])
        self._best_mean = state["best_mean"]
        self._window = list(state["window"])
        self._waited = int(state["waited"])


def direction_of(metric: str) -> Direction:
    """Return which way a metric improves, by its name."""
    grows = metric.rsplit("_", 1)[-1] in _GROWING
    return Direction.MAXIMIZE if grows else Direction.MINIMIZE


def _is_better(value: float, than: float, direction: Direction) -> bool:
    return value > than if direction is Direction.MAXIMIZE else value < than
