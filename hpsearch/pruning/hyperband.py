"""Successive halving with several first rungs at once, since nobody knows the right one."""

from typing import Literal

from optuna.pruners import HyperbandPruner
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import Field

from hpsearch.pruning.base import REGISTRY
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.rungs import Ladder, RungPruner


@REGISTRY.register("hyperband")
class Hyperband(RungPruner):
    """Hyperband: each trial belongs to a bracket, brackets begin to prune at different epochs.

    The bracket follows from the study's name and the trial's number, in every process alike.
    ``max_resource`` is the highest number of epochs of the space.

    Source: Li et al., Hyperband, JMLR 2018.
    """

    name: Literal["hyperband"] = "hyperband"
    min_resource: int = Field(1, ge=1, description="epochs up to the first rung")
    reduction_factor: int = Field(3, ge=2, description="one in so many goes on")
    bootstrap_count: int = Field(0, ge=0, description="trials a rung waits for")

    def build(self, max_epochs: int) -> HyperbandPruner:
        """Return Optuna's pruner; ``max_resource`` is never guessed from the first trials."""
        return HyperbandPruner(
            min_resource=self.min_resource,
            max_resource=max_epochs,
            reduction_factor=self.reduction_factor,
            bootstrap_count=self.bootstrap_count,
        )

    def ladder(self, study: JudgedStudy, number: int) -> Ladder:
        """Return the rungs of the trial's bracket."""
        return Ladder(self.min_resource, self.reduction_factor, self._bracket(study, number))

    def rivals(self, study: JudgedStudy, trial: FrozenTrial) -> list[FrozenTrial]:
        """Return the trials of the same bracket."""
        theirs = self._initialized(study)
        bracket = theirs._get_bracket_id(study.optuna, trial)
        return theirs._create_bracket_study(study.optuna, bracket).get_trials(deepcopy=False)

    def _bracket(self, study: JudgedStudy, number: int) -> int:
        trial = create_trial(state=TrialState.RUNNING)
        trial.number = number
        return self._initialized(study)._get_bracket_id(study.optuna, trial)

    def _initialized(self, study: JudgedStudy) -> HyperbandPruner:
        theirs = self.build(study.max_epochs)
        theirs._try_initialization(study.optuna)
        return theirs
