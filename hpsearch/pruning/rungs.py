"""The common ground of pruners in which trials climb rungs."""

import math
from abc import abstractmethod
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.optuna_pruner import OptunaPruner
from hpsearch.spec.plugins import Refusal
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Direction, Objective
from hpsearch.spec.views import Pruned
from hpsearch.storage.curves import Curve

KEY = "completed_rung_"
"""Optuna's system attribute of a trial that has reached a rung, with the value it had there."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """At which epochs the rungs are."""

    min_resource: int
    reduction_factor: int
    rate: int

    def epoch(self, rung: int) -> int:
        """Return the epoch of a rung, from 0."""
        steps: int = self.reduction_factor ** (self.rate + rung)
        return self.min_resource * steps


class Rungs:
    """The values that trials had at the rungs they reached, from the lowest to the highest.

    Args:
        bracket: Returns which trials compete with each other, by number.
    """

    def __init__(self, bracket: Callable[[int], int]) -> None:
        self._bracket = bracket
        self._values: dict[tuple[int, str], list[float]] = defaultdict(list)

    def change(self, old: Curve | None, new: Curve) -> None:
        """Take note of the rungs a trial has reached, and of those a rewound one has not."""
        before = {} if old is None else old.attrs
        if before == new.attrs:
            return
        bracket = self._bracket(new.number)
        for key in before.keys() | new.attrs.keys():
            was, now = before.get(key), new.attrs.get(key)
            if was == now or not key.startswith(KEY):
                continue
            values = self._values[bracket, key]
            if was is not None:
                del values[bisect_left(values, was)]
            if now is not None:
                insort(values, now)

    def values(self, number: int, key: str) -> Sequence[float]:
        """Return the values at a rung of the trials that compete with this one, in order."""
        return self._values[self._bracket(number), key]


class RungPruner(OptunaPruner):
    """Prunes at rungs, and remembers in the trial what its value was at each."""

    min_resource: int
    reduction_factor: int
    bootstrap_count: int

    @property
    def attr_prefix(self) -> str | None:
        """Beginning of the attributes that tell of rungs."""
        return KEY

    @abstractmethod
    def bracket(self, study: JudgedStudy, number: int) -> int:
        """Return which trials a trial competes with."""

    @abstractmethod
    def ladder(self, study: JudgedStudy, number: int) -> Ladder:
        """Return the rungs a trial climbs."""

    def refusals(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],  # noqa: ARG002 - the interface
    ) -> list[Refusal]:
        """Return that the first rung is beyond the last epoch, if it is."""
        if self.min_resource <= space.max_epochs:
            return []
        message = f"must be at most {space.max_epochs}, the highest training.epochs"
        return [Refusal("min_resource", message)]

    def written_at(self, key: str, number: int, study: JudgedStudy) -> int:
        """Return the epoch of the rung an attribute tells of."""
        rung = key.removeprefix(KEY)
        if not (key.startswith(KEY) and rung.isdecimal()):
            return 0
        return self.ladder(study, number).epoch(int(rung))

    def judge(self, study: JudgedStudy, trial: FrozenTrial) -> Pruned | None:
        """Return why a trial is stopped at its last epoch, or None if it goes on."""
        epoch = trial.last_step
        if epoch is None:
            return None
        value, ladder = trial.intermediate_values[epoch], self.ladder(study, trial.number)
        rungs = study.index(Rungs, lambda: Rungs(lambda number: self.bracket(study, number)))
        rung = 0
        while f"{KEY}{rung}" in trial.system_attrs:
            rung += 1
        while epoch >= ladder.epoch(rung):
            if math.isnan(value):
                return self.pruned(epoch, None, None)
            key = f"{KEY}{rung}"
            study.remember(trial._trial_id, key, value)
            competing = rungs.values(trial.number, key)  # its own is one of them
            if len(competing) <= self.bootstrap_count:
                return self.pruned(epoch, value, None)
            last = max(len(competing) // self.reduction_factor - 1, 0)
            is_maximized = study.direction is Direction.MAXIMIZE
            limit = competing[-(last + 1)] if is_maximized else competing[last]
            if value < limit if is_maximized else value > limit:
                return self.pruned(epoch, value, limit)
            rung += 1
        return None
