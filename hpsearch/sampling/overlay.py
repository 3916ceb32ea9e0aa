"""A storage that lets Optuna's samplers ask without touching the database.

Reading goes to a history that was read incrementally; the trials a claim has reserved appear as
WAITING and, once asked, as RUNNING; whatever a sampler writes is kept here and goes to the
database in the claim's second transaction. So ``study.ask()`` and ``trial.suggest_*`` are used
as Optuna means them, at the cost of a few dictionary look-ups.
"""

# ruff: noqa: ARG002 - the signatures are Optuna's

import copy
from collections.abc import Container, Sequence
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import BrokenInvariant
from hpsearch.sampling.base import ReservedTrial
from hpsearch.spec.sections import Direction

STUDY_NAME = "overlay"
_STUDY_ID = 0


class OverlayStorage(BaseStorage):
    """History below, this claim's trials above; every write stays in memory.

    Args:
        directions: One per objective.
        history: The study's other trials; never changed.
        reserved: The trials to be asked for, in number order.
    """

    def __init__(
        self,
        directions: Sequence[Direction],
        history: Sequence[FrozenTrial],
        reserved: Sequence[ReservedTrial],
    ) -> None:
        self._directions = [StudyDirection[direction.name] for direction in directions]
        mine = {trial.trial_id for trial in reserved}
        self._history = [trial for trial in history if trial._trial_id not in mine]
        self._mine = {
            trial.trial_id: FrozenTrial(
                number=trial.number,
                state=TrialState.WAITING,
                value=None,
                values=None,
                datetime_start=None,
                datetime_complete=None,
                params={},
                distributions={},
                user_attrs={},
                system_attrs={},
                intermediate_values={},
                trial_id=trial.trial_id,
            )
            for trial in reserved
        }
        self._by_id = {trial._trial_id: trial for trial in self._history} | self._mine
        self._study_attrs: dict[str, Any] = {}

    def trial(self, trial_id: int) -> FrozenTrial:
        """Return one of the reserved trials with what was drawn for it."""
        return self._mine[trial_id]

    # Reading

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the one study's id."""
        return _STUDY_ID

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the one study's name."""
        return STUDY_NAME

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of the objectives."""
        return list(self._directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return no attributes."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what the sampler set in this claim."""
        return dict(self._study_attrs)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return the one study."""
        return [
            FrozenStudy(
                study_name=STUDY_NAME,
                direction=None,
                directions=list(self._directions),
                user_attrs={},
                system_attrs=dict(self._study_attrs),
                study_id=_STUDY_ID,
            )
        ]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a copy of one trial, as samplers may keep it."""
        return copy.copy(self._by_id[trial_id])

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return the id of the trial with this number."""
        for trial in self._by_id.values():
            if trial.number == trial_number:
                return trial._trial_id
        raise KeyError(trial_number)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials in number order."""
        found = [*self._history, *self._mine.values()]
        if states is not None:
            found = [trial for trial in found if trial.state in states]
        found.sort(key=lambda trial: trial.number)
        return copy.deepcopy(found) if deepcopy else found

    # Writing, to memory alone

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Remember an attribute for the rest of this claim."""
        self._study_attrs[key] = value

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Remember a drawn parameter."""
        trial = self._mine[trial_id]
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Make a reserved trial RUNNING; nothing else happens while sampling."""
        trial = self._mine[trial_id]
        if state != TrialState.RUNNING:
            _refuse()
        if trial.state != TrialState.WAITING:
            return False
        trial.state = TrialState.RUNNING
        return True

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Remember an attribute of a reserved trial."""
        self._mine[trial_id].system_attrs[key] = value

    # What a sampler has no business with

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Refuse."""
        _refuse()

    def delete_study(self, study_id: int) -> None:
        """Refuse."""
        _refuse()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refuse."""
        _refuse()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Refuse."""
        _refuse()

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Refuse."""
        _refuse()

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refuse."""
        _refuse()


def _refuse() -> NoReturn:
    raise BrokenInvariant("a sampler tried to write something other than its own point")
