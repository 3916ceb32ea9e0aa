"""The trials of a study while a pruner judges some of them."""

from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpsearch.spec.sections import Direction
from hpsearch.storage.curves import Curve, changed_curves
from hpsearch.storage.database import Transaction
from hpsearch.storage.held_study import HeldStudy
from hpsearch.storage.history import History

_SEEN = (TrialState.RUNNING, TrialState.COMPLETE)


class Index(Protocol):
    """What a pruner needs to know about all trials at once, kept up to date one by one."""

    def change(self, old: Curve | None, new: Curve) -> None:
        """Take note that a trial is new, or not what it was."""


AnyIndex = TypeVar("AnyIndex", bound=Index)


class JudgedStudy:
    """Every trial with what it has reported; what a pruner writes is seen by its next question.

    It lives as long as its owner judges the study: :meth:`refresh` reads what others changed,
    :meth:`record` takes what is being reported. It has one direction, that of the metric the
    pruner sees, however many objectives there are.

    Args:
        name: The study's name; hyperband's brackets depend on it.
        direction: Which way the metric improves.
        max_epochs: The most epochs any trial of the study may run.
        study_id: The study, where trials are judged.
        attr_prefix: Beginning of the system attributes the pruner writes; None if there are none.
        with_complete: The pruner compares with what the COMPLETE trials reported.
        with_trials: The pruner looks at Optuna's trials, not only at curves.
    """

    def __init__(
        self,
        name: str,
        direction: Direction,
        max_epochs: int,
        study_id: int = 0,
        *,
        attr_prefix: str | None = None,
        with_complete: bool = False,
        with_trials: bool = False,
    ) -> None:
        self.name = name
        self.direction = direction
        self.max_epochs = max_epochs
        self._study_id = study_id
        self._attr_prefix = attr_prefix
        # a trial that is judged is RUNNING, here or, later, elsewhere
        self._of_states = _SEEN if with_complete else _SEEN[:1]
        self._revision = 0
        self._curves: dict[int, Curve] = {}
        self._indexes: dict[Hashable, Index] = {}
        self._new_attrs: dict[int, dict[str, Any]] = {}
        self._history = History(study_id) if with_trials else None
        self._overlay = _Overlay(name, direction, self._written)

    # What a pruner asks

    @cached_property
    def optuna(self) -> optuna.Study:
        """The study as Optuna's pruners want it; without trials if only curves are needed."""
        return optuna.load_study(
            study_name=self.name,
            storage=self._overlay,
            sampler=optuna.samplers.RandomSampler(),
            pruner=optuna.pruners.NopPruner(),
        )

    def index(self, key: Hashable, make: Callable[[], AnyIndex]) -> AnyIndex:
        """Return the index of this key, made from all trials when first asked for."""
        found = self._indexes.get(key)
        if found is None:
            found = self._indexes[key] = make()
            for curve in self._curves.values():
                found.change(None, curve)
        return found  # type: ignore[return-value] # one key, one kind of index

    def remember(self, trial_id: int, key: str, value: Any) -> None:
        """Write a system attribute of a trial, stored with the report."""
        self._written(trial_id, key, value)
        self._overlay.show(trial_id, key, value)

    # What a report does

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was read yet: the first refresh takes its time."""
        return self._revision == 0

    def refresh(self, tx: Transaction, revision: int) -> None:
        """Read what others have changed.

        Args:
            tx: An open transaction.
            revision: The study's, as this transaction sees it.
        """
        if self._revision < revision:
            after, self._revision = self._revision, revision
            self.take(
                changed_curves(
                    tx,
                    self._study_id,
                    after,
                    attr_prefix=self._attr_prefix,
                    of_states=self._of_states,
                )
            )
        if self._history is not None:
            self._history.refresh(tx)
            self._overlay.hold(self._history.trials)
        self._new_attrs.clear()

    def take(self, curves: Iterable[Curve]) -> None:
        """Hold these trials as they are now."""
        for curve in curves:
            self._change(curve)

    def record(self, trial_id: int, values: Mapping[int, float]) -> None:
        """Add what a trial has measured, by epoch."""
        curve = self._curves[trial_id]
        self._change(replace(curve, values={**curve.values, **values}))

    def end(self, trial_id: int, state: TrialState) -> None:
        """Give a trial its last state."""
        self._change(replace(self._curves[trial_id], state=state))

    def show(self, trial_id: int, values: Sequence[float] | None) -> None:
        """Let Optuna's view of the study have a trial as it is now, with its objective values."""
        if self._history is not None:
            curve = self._curves[trial_id]
            trial = self._frozen(curve, curve.values)
            trial.values = values or None
            self._overlay.replace(trial)

    def up_to(self, trial_id: int, epoch: int) -> FrozenTrial:
        """Return a trial as it was after an epoch, with what was written about it since."""
        curve = self._curves[trial_id]
        return self._frozen(
            curve, {step: value for step, value in curve.values.items() if step <= epoch}
        )

    def new_attrs(self, trial_id: int) -> dict[str, Any]:
        """Return what was written about a trial since the last refresh."""
        return dict(self._new_attrs.get(trial_id, {}))

    def written(self, revision: int) -> None:
        """Take note that all that was recorded is stored, under this revision."""
        self._revision = revision

    def forget(self) -> None:
        """Drop everything: the next refresh reads all trials (after a transaction failed)."""
        self._revision = 0
        self._curves.clear()
        self._indexes.clear()
        self._new_attrs.clear()
        if self._history is not None:
            self._history.forget()

    def _change(self, curve: Curve) -> None:
        old = self._curves.get(curve.trial_id)
        self._curves[curve.trial_id] = curve
        for index in self._indexes.values():
            index.change(old, curve)

    def _written(self, trial_id: int, key: str, value: Any) -> None:
        curve = self._curves[trial_id]
        self._change(replace(curve, attrs={**curve.attrs, key: value}))
        self._new_attrs.setdefault(trial_id, {})[key] = value

    def _frozen(self, curve: Curve, values: Mapping[int, float]) -> FrozenTrial:
        trial = FrozenTrial(
            number=curve.number,
            state=curve.state,
            value=None,
            datetime_start=None,
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs=dict(curve.attrs),
            intermediate_values=dict(values),
            trial_id=curve.trial_id,
        )
        if self._history is not None:
            stored = self._overlay.get_trial(curve.trial_id)
            trial.params, trial._distributions = stored.params, stored.distributions
            trial.system_attrs = {**stored.system_attrs, **trial.system_attrs}
            trial.datetime_start = stored.datetime_start
        return trial


class _Overlay(HeldStudy):
    """Optuna's storage over the trials held, all of them or none."""

    def __init__(
        self, name: str, direction: Direction, written: Callable[[int, str, Any], None]
    ) -> None:
        super().__init__(name, [direction], ())
        self._tell = written
        self._complete: list[FrozenTrial] | None = None

    def hold(self, trials: list[FrozenTrial]) -> None:
        """Hold these trials instead."""
        self._by_id = {trial._trial_id: trial for trial in trials}
        self._complete = None

    def replace(self, trial: FrozenTrial) -> None:
        """Hold another version of a trial."""
        super().replace(trial)
        self._complete = None

    def show(self, trial_id: int, key: str, value: Any) -> None:
        """Hold an attribute that was written elsewhere."""
        if trial_id in self._by_id:
            super().set_trial_system_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Remember an attribute of a trial; whoever holds the trial itself sees no change."""
        self._tell(trial_id, key, value)
        self.show(trial_id, key, value)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials in number order."""
        if deepcopy or states != (TrialState.COMPLETE,):
            return super().get_all_trials(study_id, deepcopy, states)
        if self._complete is None:  # judging changes none of them
            self._complete = super().get_all_trials(study_id, deepcopy, states)
        return self._complete
