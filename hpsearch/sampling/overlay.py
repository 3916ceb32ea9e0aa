"""A storage that lets Optuna's samplers ask without touching the database.

The trials a claim has reserved appear as WAITING and, once asked, as RUNNING; what is drawn for
them goes to the database in the claim's second transaction. So ``study.ask()`` and
``trial.suggest_*`` are used as Optuna means them, at the cost of a few dictionary look-ups.
"""

# ruff: noqa: ARG002 - the signatures are Optuna's

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import BrokenInvariant
from hpsearch.sampling.base import ReservedTrial
from hpsearch.spec.sections import Direction
from hpsearch.storage.held_study import HeldStudy

STUDY_NAME = "overlay"


class OverlayStorage(HeldStudy):
    """History below, this claim's trials above; every write stays in memory.

    WAITING trials of the history are left out: ``ask`` would take them for its own.

    Args:
        directions: One per objective.
        history: The study's other trials; never changed.
        reserved: The trials to be asked for, in number order.
        study_attrs: What samplers remembered about the study.
    """

    def __init__(
        self,
        directions: Sequence[Direction],
        history: Iterable[FrozenTrial],
        reserved: Sequence[ReservedTrial],
        study_attrs: Mapping[str, Any] | None = None,
    ) -> None:
        self._mine = {trial.trial_id for trial in reserved}
        others = [
            trial
            for trial in history
            if trial._trial_id not in self._mine and trial.state != TrialState.WAITING
        ]
        super().__init__(STUDY_NAME, directions, [*others, *map(_waiting, reserved)], study_attrs)

    def trial(self, trial_id: int) -> FrozenTrial:
        """Return one of the reserved trials with what was drawn for it."""
        return self._by_id[trial_id]

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Remember a drawn parameter."""
        trial = copy.copy(self._own(trial_id))  # somebody may hold the one before
        value = distribution.to_external_repr(param_value_internal)
        trial.params = {**trial.params, param_name: value}
        trial.distributions = {**trial.distributions, param_name: distribution}
        self.replace(trial)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Remember what a sampler noted about a trial that has not ended."""
        self.check_trial_is_updatable(trial_id, self._by_id[trial_id].state)
        super().set_trial_system_attr(trial_id, key, value)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Make a reserved trial RUNNING; nothing else happens while sampling."""
        trial = self._own(trial_id)
        if state != TrialState.RUNNING:
            raise BrokenInvariant("a sampler tried to end a trial")
        if trial.state != TrialState.WAITING:
            return False
        trial = copy.copy(trial)
        trial.state = TrialState.RUNNING
        self.replace(trial)
        return True

    def _own(self, trial_id: int) -> FrozenTrial:
        trial = self._by_id[trial_id]
        self.check_trial_is_updatable(trial_id, trial.state)
        if trial_id not in self._mine:
            raise BrokenInvariant("a sampler tried to change a trial of another claim")
        return trial


def _waiting(trial: ReservedTrial) -> FrozenTrial:
    return FrozenTrial(
        number=trial.number,
        state=TrialState.WAITING,
        value=None,
        values=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        # Optuna's own way of asking for a point: suggest_* returns these
        system_attrs={} if trial.fixed is None else {"fixed_params": dict(trial.fixed)},
        intermediate_values={},
        trial_id=trial.trial_id,
    )
