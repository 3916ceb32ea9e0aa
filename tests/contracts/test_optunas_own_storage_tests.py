"""Optuna's own tests of storages, on what takes a storage's place here.

Two things do: SQLite set up our way (write-ahead log, foreign keys, a write lock from a
transaction's first moment) below Optuna's storage, and the overlay that samplers read and write.
"""

import copy
import threading
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.sampling.base import ReservedTrial
from hpsearch.sampling.overlay import OverlayStorage
from hpsearch.spec.sections import Direction
from hpsearch.storage.database import WRITES, guard_sqlite

N_TRIALS, N_TAKERS = 60, 4


def guarded(url: str) -> RDBStorage:
    """Return Optuna's storage over SQLite as our own engine has it."""
    storage = RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
    guard_sqlite(storage.engine)
    storage.engine.update_execution_options(**{WRITES: True})
    return storage


def close(storage: RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()


class TestGuardedSQLite(StorageTestCase):
    @pytest.fixture
    def storage(self, sqlite_url: str) -> Iterator[RDBStorage]:
        storage = guarded(sqlite_url)
        yield storage
        close(storage)


def test_a_waiting_trial_is_handed_to_one_of_many_takers(sqlite_url: str) -> None:
    storage = guarded(sqlite_url)
    study = storage.create_new_study([StudyDirection.MAXIMIZE])
    for _ in range(N_TRIALS):
        storage.create_new_trial(study, create_trial(state=TrialState.WAITING))
    close(storage)
    taken: Counter[int] = Counter()
    told: Counter[int] = Counter()
    start = threading.Barrier(N_TAKERS)

    def take(state: TrialState) -> None:
        mine = guarded(sqlite_url)
        start.wait(30)
        while waiting := mine.get_all_trials(study, states=(TrialState.WAITING,)):
            if mine.set_trial_state_values(waiting[0]._trial_id, TrialState.RUNNING):
                taken[waiting[0].number] += 1
        start.wait(30)
        for trial in mine.get_all_trials(study):
            try:
                values = [1.0] if state is TrialState.COMPLETE else None
                told[trial.number] += mine.set_trial_state_values(trial._trial_id, state, values)
            except UpdateFinishedTrialError:
                pass
        close(mine)

    states = [TrialState.COMPLETE, TrialState.FAIL] * (N_TAKERS // 2)
    threads = [threading.Thread(target=take, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert taken == Counter(range(N_TRIALS)), "each goes to one"
    assert told == Counter(range(N_TRIALS)), "each ends once"
    storage = guarded(sqlite_url)
    for trial in storage.get_all_trials(study):
        assert (trial.state is TrialState.COMPLETE) == (trial.values == [1.0])
    close(storage)


class Overlaid(BaseStorage):
    """A storage in which an overlay for each study answers all that a sampler may ask.

    What is no sampler's business goes to a storage of Optuna's below, as it goes to our verbs in
    the product: to make and to end studies and trials, users' attributes, measured steps. The
    overlay has the trial anew then. What was written to the overlay is carried down at once, as
    a claim does in its second transaction.
    """

    def __init__(self) -> None:
        self._below = InMemoryStorage()
        self._overlays: dict[int, OverlayStorage] = {}
        self._study_of: dict[int, int] = {}

    # what a sampler may ask

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._overlays[study_id].get_study_directions(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._overlays[study_id].get_study_system_attrs(study_id)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._overlays[study_id].set_study_system_attr(study_id, key, value)
        self._below.set_study_system_attr(
            study_id, key, self._overlays[study_id].new_study_attrs[key]
        )

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._over(trial_id).get_trial(trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        return self._overlays[study_id].get_all_trials(study_id, deepcopy, states)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        overlay = self._overlays[study_id]
        return overlay.get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        overlay = self._over(trial_id)
        if not overlay.get_trial(trial_id).state.is_finished():
            # a definition's space does not change, so the overlay need not look
            for trial in overlay.get_all_trials(0, deepcopy=False):
                if param_name in trial.distributions:
                    check_distribution_compatibility(trial.distributions[param_name], distribution)
        overlay.set_trial_param(trial_id, param_name, param_value_internal, distribution)
        drawn = overlay.trial(trial_id)
        internal = drawn.distributions[param_name].to_internal_repr(drawn.params[param_name])
        self._below.set_trial_param(trial_id, param_name, internal, distribution)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        overlay = self._over(trial_id)
        overlay.set_trial_system_attr(trial_id, key, value)
        self._below.set_trial_system_attr(trial_id, key, overlay.new_attrs(trial_id)[key])

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        if state is TrialState.RUNNING:
            is_taken = self._over(trial_id).set_trial_state_values(trial_id, state, values)
            assert self._below.set_trial_state_values(trial_id, state) == is_taken
            return is_taken
        is_done = self._below.set_trial_state_values(trial_id, state, values)
        self._carry_up(trial_id)
        return is_done

    # what is none of a sampler's business

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        study_id = self._below.create_new_study(directions, study_name)
        ours = [Direction[direction.name] for direction in directions]
        self._overlays[study_id] = OverlayStorage(ours, [], [])
        return study_id

    def delete_study(self, study_id: int) -> None:
        self._below.delete_study(study_id)
        del self._overlays[study_id]

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._below.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._below.get_study_name_from_id(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._below.get_all_studies()

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._below.get_study_user_attrs(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._below.set_study_user_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = self._below.create_new_trial(study_id, template_trial)
        self._study_of[trial_id] = study_id
        trial = self._below.get_trial(trial_id)
        others = self._overlays[study_id].get_all_trials(study_id)
        attrs = self._overlays[study_id].get_study_system_attrs(study_id)
        # all that have not ended are this claim's
        reserved = [
            ReservedTrial(t._trial_id, t.number, t.number)
            for t in [*others, trial]
            if not t.state.is_finished()
        ]
        ours = [Direction[d.name] for d in self.get_study_directions(study_id)]
        overlay = self._overlays[study_id] = OverlayStorage(ours, others, reserved, attrs)
        for known in others:
            overlay.replace(known)
        if template_trial is None:  # as claimed and asked for
            assert overlay.set_trial_state_values(trial_id, TrialState.RUNNING)
        else:
            overlay.replace(copy.deepcopy(trial))
        return trial_id

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        self._below.set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._carry_up(trial_id)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._below.set_trial_user_attr(trial_id, key, value)
        self._carry_up(trial_id)

    def _over(self, trial_id: int) -> OverlayStorage:
        return self._overlays[self._study_of[trial_id]]

    def _carry_up(self, trial_id: int) -> None:
        self._over(trial_id).replace(copy.deepcopy(self._below.get_trial(trial_id)))


class TestOverlay(StorageTestCase):
    @pytest.fixture
    def storage(self) -> Overlaid:
        return Overlaid()
