"""Sums over the finished trials of a study, at a cost that does not grow with their number.

A finished trial never changes again, and its row carries the revision of the moment it
finished. So the sums up to some revision stay right for ever: they are kept with the study, and
what finished since is added on every look, from the rows with a later stamp. Now and then, under
the study's lock, the kept sums are moved forward.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.storages._rdb.models import TrialValueModel
from optuna.trial import TrialState as OptunaState
from sqlalchemy import ColumnElement, and_, bindparam, case, func, or_, select, update

from hpsearch.spec.sections import Direction
from hpsearch.spec.states import AttemptState, TrialState
from hpsearch.storage.database import Transaction
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.tables import attempts, optuna_trials, optuna_values, studies, trials
from hpsearch.storage.trials import TrialCountsRecord

FOLD_AFTER = 200  # finished trials since the kept sums before these are moved forward

_FINISHED = (OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.FAIL)


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over finished trials.

    Attributes:
        n: How many, by state.
        counted: How many of them count towards ``max_trials``, by state.
        seconds: Device-seconds of their attempts that were not lost, by state.
        saved_s: Estimated device-seconds not spent because they stopped before their planned
            epochs.
        best: Number and value of the earliest best COMPLETE trial of a study with one
            objective; None without any, or with several objectives.
        n_recent: How many finished since the sums that are kept.
    """

    n: Mapping[TrialState, int] = field(default_factory=dict)
    counted: Mapping[TrialState, int] = field(default_factory=dict)
    seconds: Mapping[TrialState, float] = field(default_factory=dict)
    saved_s: float = 0.0
    best: tuple[int, float] | None = None
    n_recent: int = 0

    @property
    def n_finished(self) -> int:
        """How many trials have finished."""
        return sum(self.n.values())


def tally(tx: Transaction, study: StudyRecord) -> Tally:
    """Return the sums over all finished trials, as of this transaction.

    Args:
        tx: An open transaction.
        study: The study as it is in this transaction.
    """
    kept, after = _kept(study)
    n, counted, seconds = dict(kept.n), dict(kept.counted), dict(kept.seconds)
    saved_s, n_recent = kept.saved_s, 0
    for state, n_more, n_counted, more_s, more_saved_s in _recent(tx, study, after):
        name = TrialState[state.name]
        n[name] = n.get(name, 0) + n_more
        counted[name] = counted.get(name, 0) + int(n_counted)
        seconds[name] = seconds.get(name, 0.0) + float(more_s)
        saved_s += float(more_saved_s)
        n_recent += n_more
    best = kept.best
    if n_recent:
        best = _better(study, best, _recent_best(tx, study, after))
    return Tally(n, counted, seconds, saved_s, best, n_recent)


def count(tx: Transaction, study: StudyRecord) -> TrialCountsRecord:
    """Return how many trials of the study stand where."""
    kept, after = _kept(study)
    row = tx.execute(_COUNTS, {"study_id": study.study_id, "after": after}).one()
    largest, running, complete, pruned, fail, counted, counted_fail = row
    n = {state: kept.n.get(state, 0) for state in TrialState}
    total = 0 if largest is None else largest + 1  # numbers have no gap
    waiting = total - running - sum(n.values()) - complete - pruned - fail
    return TrialCountsRecord(
        waiting=waiting,
        waiting_begun=_n_waiting_begun(tx, study.study_id) if waiting else 0,
        running=running,
        complete=n[TrialState.COMPLETE] + complete,
        pruned=n[TrialState.PRUNED] + pruned,
        fail=n[TrialState.FAIL] + fail,
        counted=sum(kept.counted.values()) + counted,
        counted_fail=kept.counted.get(TrialState.FAIL, 0) + counted_fail,
        total=total,
        n_recent=complete + pruned + fail,
    )


def _number_of(*where: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((and_(*where), 1)))


_COUNTS = (
    select(
        # the largest is the end of an index
        select(func.max(trials.c.number))
        .where(trials.c.study_id == bindparam("study_id"))
        .correlate(None)
        .scalar_subquery(),
        # a RUNNING trial has exactly one RUNNING attempt
        select(func.count())
        .select_from(attempts)
        .where(
            attempts.c.study_id == bindparam("study_id"),
            attempts.c.state == AttemptState.RUNNING,
        )
        .scalar_subquery(),
        *(_number_of(optuna_trials.c.state == state) for state in _FINISHED),
        _number_of(trials.c.is_counted),
        _number_of(trials.c.is_counted, optuna_trials.c.state == OptunaState.FAIL),
    )
    .select_from(trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id))
    .where(
        trials.c.study_id == bindparam("study_id"),
        trials.c.revision > bindparam("after"),
        optuna_trials.c.state.in_(_FINISHED),
    )
)


def fold(tx: Transaction, study: StudyRecord) -> None:
    """Move the kept sums of a locked study forward to this moment."""
    found = tally(tx, study)
    document = {
        "n": dict(found.n),
        "counted": dict(found.counted),
        "seconds": dict(found.seconds),
        "saved_s": found.saved_s,
        "best": found.best,
    }
    of_study = studies.c.study_id == study.study_id
    # the revision as it is now, not as it was when the study was read
    tx.execute(
        update(studies).where(of_study).values(tally=document, tally_revision=studies.c.revision)
    )


def _kept(study: StudyRecord) -> tuple[Tally, int]:
    if study.tally is None:
        return Tally(), -1
    document = study.tally
    best = document["best"]
    kept = Tally(
        n=_by_state(document["n"]),
        counted=_by_state(document["counted"]),
        seconds=_by_state(document["seconds"]),
        saved_s=document["saved_s"],
        best=None if best is None else (best[0], best[1]),
    )
    return kept, study.tally_revision


def _by_state(values: Mapping[str, Any]) -> dict[TrialState, Any]:
    return {TrialState(state): value for state, value in values.items()}


def _recent(
    tx: Transaction, study: StudyRecord, after: int
) -> list[tuple[OptunaState, int, int, float, float]]:
    """Return count, counted, seconds and saved by state of what finished after a revision."""
    not_run = trials.c.planned_epochs - trials.c.epochs
    was_cut = and_(
        trials.c.epochs > 0,
        not_run > 0,
        or_(trials.c.stopped_early, optuna_trials.c.state == OptunaState.PRUNED),
    )
    query = (
        select(
            optuna_trials.c.state,
            func.count(),
            func.sum(case((trials.c.is_counted, 1), else_=0)),
            func.sum(trials.c.device_seconds - func.coalesce(_lost_seconds(), 0.0)),
            func.sum(
                case((was_cut, not_run * trials.c.device_seconds / trials.c.epochs), else_=0.0)
            ),
        )
        .select_from(trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id))
        .where(_finished_after(study, after))
        .group_by(optuna_trials.c.state)
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in tx.execute(query)]


def _recent_best(tx: Transaction, study: StudyRecord, after: int) -> tuple[int, float] | None:
    """Return number and value of the best of what completed after a revision."""
    if len(study.definition["objectives"]) > 1:
        return None
    joined = trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id).join(
        optuna_values, optuna_values.c.trial_id == trials.c.trial_id
    )
    value = optuna_values.c.value
    query = (
        select(trials.c.number, value)
        .select_from(joined)
        .where(
            _finished_after(study, after),
            optuna_trials.c.state == OptunaState.COMPLETE,
            optuna_values.c.value_type == TrialValueModel.TrialValueType.FINITE,
        )
        .order_by(value.desc() if _is_maximised(study) else value.asc(), trials.c.number)
        .limit(1)
    )
    row = tx.execute(query).first()
    return None if row is None else (row[0], row[1])


def _better(
    study: StudyRecord, one: tuple[int, float] | None, other: tuple[int, float] | None
) -> tuple[int, float] | None:
    sign = -1.0 if _is_maximised(study) else 1.0
    there = [point for point in (one, other) if point is not None]
    return min(there, key=lambda point: (sign * point[1], point[0]), default=None)


def _is_maximised(study: StudyRecord) -> bool:
    direction: str = study.definition["objectives"][0]["direction"]
    return direction == Direction.MAXIMIZE


def _n_waiting_begun(tx: Transaction, study_id: int) -> int:
    joined = trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id)
    where = (
        trials.c.study_id == study_id,
        trials.c.n_attempts > 0,
        optuna_trials.c.state == OptunaState.WAITING,
    )
    return tx.execute(select(func.count()).select_from(joined).where(*where)).scalar_one()


def lost_seconds(tx: Transaction, study_id: int) -> float:
    """Return the device-seconds of the study's lost attempts."""
    where = (attempts.c.study_id == study_id, attempts.c.state == AttemptState.LOST)
    found = tx.execute(select(func.sum(attempts.c.device_seconds)).where(*where)).scalar()
    return float(found or 0.0)


def _lost_seconds() -> Any:
    """Return the seconds of a trial's lost attempts, as a subquery of the trial's row."""
    return (
        select(func.sum(attempts.c.device_seconds))
        .where(attempts.c.trial_id == trials.c.trial_id, attempts.c.state == AttemptState.LOST)
        .scalar_subquery()
    )


def _finished_after(study: StudyRecord, after: int) -> Any:
    return and_(
        trials.c.study_id == study.study_id,
        trials.c.revision > after,
        optuna_trials.c.state.in_(_FINISHED),
    )
