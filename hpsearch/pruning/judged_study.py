"""The trials of a study while a pruner judges some of them."""

import copy
from collections.abc import Container, Iterable
from functools import cached_property

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpsearch.spec.sections import Direction
from hpsearch.storage.held_study import HeldStudy

_FINISHED = (TrialState.COMPLETE,)


class JudgedStudy(HeldStudy):
    """Every trial with what it has reported; what a pruner writes is seen by its next question.

    It has one direction, that of the metric the pruner sees, however many objectives there are.

    Args:
        name: The study's name.
        direction: Which way the metric improves.
        max_epochs: The most epochs any trial of the study may run.
        trials: Every trial of the study.
    """

    def __init__(
        self,
        name: str,
        direction: Direction,
        max_epochs: int,
        trials: Iterable[FrozenTrial] = (),
    ) -> None:
        super().__init__(name, [direction], trials)
        self.direction = direction
        self.max_epochs = max_epochs

    @cached_property
    def optuna(self) -> optuna.Study:
        """The study as Optuna's pruners want it."""
        return optuna.load_study(
            study_name=self._name,
            storage=self,
            sampler=optuna.samplers.RandomSampler(),
            pruner=optuna.pruners.NopPruner(),
        )

    @cached_property
    def complete(self) -> list[FrozenTrial]:
        """The COMPLETE trials; judging changes none of them."""
        return super().get_all_trials(0, deepcopy=False, states=_FINISHED)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials in number order."""
        if states == _FINISHED and not deepcopy:
            return self.complete
        return super().get_all_trials(study_id, deepcopy, states)

    def up_to(self, trial_id: int, epoch: int) -> FrozenTrial:
        """Return a trial as it was after an epoch, with what was written about it since."""
        trial = copy.copy(self._by_id[trial_id])
        trial.intermediate_values = {
            step: value for step, value in trial.intermediate_values.items() if step <= epoch
        }
        return trial
