"""One study held in memory, so that Optuna's samplers and pruners run without a database.

Reading goes to trials that were read incrementally; whatever a sampler or a pruner remembers is
kept here, and its caller writes it in the transaction that fits.
"""

# ruff: noqa: ARG002 - the signatures are Optuna's

import copy
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import BrokenInvariant
from hpsearch.spec.sections import Direction

_STUDY_ID = 0


class HeldStudy(BaseStorage):
    """Optuna's view of one study in memory; only system attributes can be written.

    Args:
        name: The study's name; hyperband's brackets depend on it.
        directions: One per objective.
        trials: The study's trials; never changed, a written one is replaced by a copy.
        study_attrs: System attributes of the study.
    """

    def __init__(
        self,
        name: str,
        directions: Sequence[Direction],
        trials: Iterable[FrozenTrial],
        study_attrs: Mapping[str, Any] | None = None,
    ) -> None:
        self._name = name
        self._directions = [StudyDirection[direction.name] for direction in directions]
        self._by_id = {
            trial._trial_id: trial for trial in sorted(trials, key=lambda trial: trial.number)
        }
        self._study_attrs = dict(study_attrs or {})
        self._new_study_attrs: dict[str, Any] = {}
        self._new_attrs: dict[int, dict[str, Any]] = {}

    @property
    def new_study_attrs(self) -> dict[str, Any]:
        """What was written about the study."""
        return dict(self._new_study_attrs)

    def new_attrs(self, trial_id: int) -> dict[str, Any]:
        """Return what was written about a trial."""
        return dict(self._new_attrs.get(trial_id, {}))

    def replace(self, trial: FrozenTrial) -> None:
        """Hold another version of a trial."""
        self._by_id[trial._trial_id] = trial

    # Reading

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the one study's id."""
        return _STUDY_ID

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the one study's name."""
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of the objectives."""
        return list(self._directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return no attributes."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the study's system attributes, those written here included."""
        return self._study_attrs | self._new_study_attrs

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return the one study."""
        return [
            FrozenStudy(
                study_name=self._name,
                direction=None,
                directions=list(self._directions),
                user_attrs={},
                system_attrs=self.get_study_system_attrs(_STUDY_ID),
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
        found = [
            trial for trial in self._by_id.values() if states is None or trial.state in states
        ]
        return copy.deepcopy(found) if deepcopy else found

    # Writing, to memory alone

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Remember an attribute of the study."""
        self._new_study_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Remember an attribute of a trial; whoever holds the trial itself sees no change."""
        trial = copy.copy(self._by_id[trial_id])
        trial.system_attrs = {**trial.system_attrs, key: value}
        self._by_id[trial_id] = trial
        self._new_attrs.setdefault(trial_id, {})[key] = value

    # What neither a sampler nor a pruner has any business with

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Refuse."""
        _refuse()

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Refuse."""
        _refuse()

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
    raise BrokenInvariant("a sampler or pruner tried to write what is not its own")
