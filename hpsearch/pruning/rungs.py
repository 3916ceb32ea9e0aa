"""The common ground of pruners in which trials climb rungs."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.optuna_pruner import Compared, OptunaPruner
from hpsearch.spec.plugins import Refusal
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Direction, Objective

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


class RungPruner(OptunaPruner):
    """Prunes at rungs, and remembers in the trial what its value was at each."""

    min_resource: int
    reduction_factor: int
    bootstrap_count: int

    @abstractmethod
    def ladder(self, study: JudgedStudy, number: int) -> Ladder:
        """Return the rungs a trial climbs."""

    @abstractmethod
    def rivals(self, study: JudgedStudy, trial: FrozenTrial) -> list[FrozenTrial]:
        """Return the trials it is compared with, itself included."""

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

    def compared(self, study: JudgedStudy, trial: FrozenTrial) -> Compared:
        """Return the value at the last rung, and the least one that would have gone on."""
        value = trial.intermediate_values[trial.last_step or 0]
        now = study.get_trial(trial._trial_id)
        rung = max(
            (int(key.removeprefix(KEY)) for key in now.system_attrs if key.startswith(KEY)),
            default=None,
        )
        key = f"{KEY}{rung}"
        competing = sorted(
            other.system_attrs[key]
            for other in self.rivals(study, trial)
            if key in other.system_attrs
        )
        if not competing or len(competing) <= self.bootstrap_count:
            return value, None
        last = max(len(competing) // self.reduction_factor - 1, 0)
        is_maximized = study.direction is Direction.MAXIMIZE
        return value, competing[-(last + 1)] if is_maximized else competing[last]
