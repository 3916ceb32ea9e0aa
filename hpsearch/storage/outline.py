"""The outline of a study's trials: state and values of all, the whole of a few."""

from collections.abc import Iterable

import numpy as np
from optuna.storages._rdb.models import TrialValueModel
from optuna.trial import FrozenTrial
from sqlalchemy import select

from hpsearch.storage.database import Transaction
from hpsearch.storage.frozen import read_trials
from hpsearch.storage.tables import optuna_trials, optuna_values, trials

_NONE = -1  # no trial of this number
_OF_TRIAL = optuna_values.c.trial_id == trials.c.trial_id

_restored = TrialValueModel.stored_repr_to_value


class Outline:
    """What there is to choose from, by trial number; whole trials are read once chosen.

    Kept up to date by revision, as :class:`~hpsearch.storage.history.History` is. One narrow
    row a trial is read instead of some dozen, and what is held of a trial nobody chooses is
    some dozen bytes: so a process that has never seen the study begins soon.

    Args:
        study_id: Whose trials.
        n_objectives: How many values a COMPLETE trial has.

    Attributes:
        states: Optuna's state by trial number; negative where there is no trial.
        epochs: The last epoch by trial number.
        values: The objective values by trial number; NaN where there is none.
    """

    def __init__(self, study_id: int, n_objectives: int) -> None:
        self.study_id = study_id
        self._n_objectives = n_objectives
        self._revision = 0
        self._n = 0
        self._ids = np.zeros(0, dtype=np.int64)
        self._states = np.zeros(0, dtype=np.int8)
        self._epochs = np.zeros(0, dtype=np.int64)
        self._values = np.zeros((0, n_objectives))
        self._whole: dict[int, FrozenTrial] = {}

    @property
    def states(self) -> np.ndarray:
        """States."""
        return self._states[: self._n]

    @property
    def epochs(self) -> np.ndarray:
        """Epochs."""
        return self._epochs[: self._n]

    @property
    def values(self) -> np.ndarray:
        """Values, one column an objective."""
        return self._values[: self._n]

    def refresh(self, tx: Transaction) -> None:
        """Read what changed since the last refresh."""
        joined = trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id)
        query = (
            select(
                trials.c.trial_id,
                trials.c.number,
                trials.c.revision,
                trials.c.epochs,
                optuna_trials.c.state,
                optuna_values.c.objective,
                optuna_values.c.value,
                optuna_values.c.value_type,
            )
            .select_from(joined.outerjoin(optuna_values, _OF_TRIAL))
            .where(trials.c.study_id == self.study_id, trials.c.revision > self._revision)
        )
        rows = tx.execute(query).all()
        if not rows:
            return
        numbers = np.array([row.number for row in rows])
        self._make_room(1 + int(numbers.max()))
        self._ids[numbers] = [row.trial_id for row in rows]
        self._states[numbers] = [row.state for row in rows]
        self._epochs[numbers] = [row.epochs for row in rows]
        self._values[numbers] = np.nan
        for row in rows:
            if row.objective is not None:
                value = _restored(row.value, row.value_type)
                self._values[row.number, row.objective] = value
        for number in self._whole.keys() & set(numbers.tolist()):
            del self._whole[number]
        self._revision = max(row.revision for row in rows)

    def whole(self, tx: Transaction, numbers: Iterable[int]) -> list[FrozenTrial]:
        """Return these trials in number order; only these stay in memory.

        Args:
            tx: The transaction of the last refresh.
            numbers: Which.
        """
        chosen = sorted(numbers)
        missing = [number for number in chosen if number not in self._whole]
        read = read_trials(tx, [int(self._ids[number]) for number in missing])
        known = self._whole | {trial.number: trial for trial in read}
        self._whole = {number: known[number] for number in chosen}
        return list(self._whole.values())

    def _make_room(self, n: int) -> None:
        if n > len(self._ids):
            more = max(n, 2 * len(self._ids)) - len(self._ids)
            self._ids = np.pad(self._ids, (0, more))
            self._states = np.pad(self._states, (0, more), constant_values=_NONE)
            self._epochs = np.pad(self._epochs, (0, more))
            self._values = np.pad(self._values, ((0, more), (0, 0)), constant_values=np.nan)
        self._n = max(self._n, n)
