"""Report what lanes measured: one transaction for all lanes of a pack, a decision for each.

Order of judgement per lane: fenced, diverged or ended by itself, pruned, the study's verb. The
outcome of a lane that ends is written in the same transaction as its last epoch, so no window
lies between the last report and the end.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from optuna.trial import TrialState as OptunaState

from hpsearch.faults import Window, reached
from hpsearch.pruning.base import Needs, Pruner
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.spec.definition import Definition
from hpsearch.spec.states import AttemptState, FailureKind, StateReason, StudyState, TrialState
from hpsearch.spec.views import Pruned
from hpsearch.storage import attempts, epochs, owners, studies, tallies, trials
from hpsearch.storage.attempts import LaneRecord
from hpsearch.storage.database import Database, Transaction
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.compiled import compiled
from hpsearch.studies.judged import judged_study
from hpsearch.studies.overdue import MESSAGE as OVERDUE
from hpsearch.studies.overdue import is_overdue
from hpsearch.studies.settle import n_too_many, settle_counted
from hpsearch.studies.target import meets_targets


@dataclass(frozen=True, slots=True)
class Ending:
    """How a lane ended.

    Attributes:
        state: COMPLETE or FAIL; PRUNED if it did not end by itself.
        best_epoch: The epoch the values were taken at.
        values: One per objective, in order; empty if it failed.
        test: Metrics on the test split.
        confusion: Its examples by true and by predicted class, or None.
        stopped_early: Whether patience ended it.
        failure: Kind and message if it failed.
        pruned: Why, if it did not end by itself.
    """

    state: TrialState
    best_epoch: int | None = None
    values: tuple[float, ...] = ()
    test: Mapping[str, float] | None = None
    confusion: Sequence[Sequence[int]] | None = None
    stopped_early: bool = False
    failure: tuple[FailureKind, str] | None = None
    pruned: Pruned | None = None


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What one lane has to say.

    Attributes:
        number: The trial.
        token: Of the attempt that trains it.
        epochs: Metrics by epoch; epochs already recorded are passed over.
        device_seconds: Of this attempt, cumulative.
        n_parameters: Trainable weights of the network.
        end: How it ended, or None.
    """

    number: int
    token: str
    epochs: Mapping[int, Mapping[str, float]]
    device_seconds: float
    n_parameters: int | None = None
    end: Ending | None = None


class Verdict(StrEnum):
    """What becomes of a lane."""

    CONTINUE = "continue"
    FINISH = "finish"
    RECORDED = "recorded"
    PRUNED = "pruned"
    HAND_BACK = "hand_back"
    FAILED = "failed"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one lane's report; ``pruned`` says why if that is the verdict."""

    verdict: Verdict
    pruned: Pruned | None = None


@dataclass(slots=True)
class _Lane:
    """One lane of a report while it is being judged.

    Attributes:
        report: What it says.
        stored: The attempt and the trial before it.
        new_epochs: What it adds to them.
        used_s: Device-seconds since the last report.
    """

    report: TrialReport
    stored: LaneRecord
    new_epochs: dict[int, Mapping[str, float]]
    used_s: float

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.stored.number

    @property
    def trial_id(self) -> int:
        """Optuna's id of the trial."""
        return self.stored.trial_id


def report(
    database: Database,
    uuid: str,
    reports: Sequence[TrialReport],
    *,
    lease_s: float,
    judged: JudgedStudy | None = None,
) -> dict[int, Decision]:
    """Record what lanes measured and how they ended; return a decision by trial number.

    Idempotent: epochs already recorded are passed over, device-seconds are cumulative, and a
    report with a token whose attempt has ended is answered with that attempt's outcome.

    Args:
        database: Where the study lives.
        uuid: The study.
        reports: One per lane.
        lease_s: For how long the leases are renewed, from now.
        judged: The caller's view of the study as its pruner sees it, kept from report to report;
            a new one if None.
    """
    fenced = {item.number: Decision(Verdict.FENCED) for item in reports}
    try:
        if judged is not None and judged.is_fresh:
            _read_ahead(database, uuid, judged)
        with database.write() as tx:
            study = studies.lock_by_uuid(tx, uuid)
            if study is None:
                return fenced
            tokens = [item.token for item in reports]
            found, at = attempts.lanes(tx, study.study_id, tokens)
            known = {lane.token: lane for lane in found}
            decisions = fenced | _outcomes(reports, known)
            lanes = _live_lanes(reports, known)
            if lanes:
                decisions |= _record(tx, study, lanes, at, lease_s, judged)
            reached(Window.REPORT_UNCOMMITTED)
        reached(Window.REPORT_COMMITTED)
        return decisions
    except BaseException:
        if judged is not None:
            judged.forget()  # it may have taken what was rolled back
        raise


def _read_ahead(database: Database, uuid: str, judged: JudgedStudy) -> None:
    """Read what siblings have reported before the lock: all of it takes its time."""
    with database.read() as tx:
        study = studies.find_study(tx, uuid)
        if study is not None and _pruner(compiled(study)) is not None:
            judged.refresh(tx, study.revision)


def _live_lanes(reports: Sequence[TrialReport], known: Mapping[str, LaneRecord]) -> list[_Lane]:
    """Return the lanes that go on from where their trial stands, in number order."""
    lanes = []
    for item in reports:
        stored = known.get(item.token)
        if (
            stored is None
            or stored.state is not AttemptState.RUNNING
            or stored.number != item.number
        ):
            continue
        recorded = stored.epochs
        new = {epoch: item.epochs[epoch] for epoch in sorted(item.epochs) if epoch > recorded}
        # a lane that went on from somewhere else would leave a hole: it is fenced
        if list(new) == list(range(recorded + 1, recorded + 1 + len(new))):
            used_s = max(0.0, item.device_seconds - stored.attempt_s)
            lanes.append(_Lane(item, stored, new, used_s))
    return sorted(lanes, key=lambda lane: lane.number)


def _outcomes(
    reports: Sequence[TrialReport], known: Mapping[str, LaneRecord]
) -> dict[int, Decision]:
    """Return the recorded outcomes of attempts that have ended with these tokens."""
    decisions = {}
    for item in reports:
        stored = known.get(item.token)
        if stored is None or stored.number != item.number:
            continue
        if stored.state is AttemptState.SUCCEEDED and stored.is_pruned:
            decisions[item.number] = Decision(Verdict.PRUNED, stored.pruned)
        elif stored.state in {AttemptState.SUCCEEDED, AttemptState.FAILED}:
            decisions[item.number] = Decision(Verdict.RECORDED)
    return decisions


def _record(
    tx: Transaction,
    study: StudyRecord,
    lanes: Sequence[_Lane],
    at: datetime,
    lease_s: float,
    judged: JudgedStudy | None,
) -> dict[int, Decision]:
    definition = compiled(study)
    decisions = {lane.number: Decision(Verdict.RECORDED) for lane in lanes if lane.report.end}
    view = judged or judged_study(definition, study.study_id)
    verdicts = _prune(tx, study, definition, lanes, view)
    decisions |= _judge(study, lanes, verdicts, at)
    endings = {
        lane.trial_id: ending
        for lane in lanes
        if (ending := _ending(lane, decisions[lane.number])) is not None
    }
    used_s = sum(lane.used_s for lane in lanes)
    study = studies.advance(tx, study, at, device_seconds=used_s, weight=definition.weight)
    _write_measurements(tx, study, definition, lanes)
    _write_attempts(tx, lanes, endings, at, lease_s)
    _write_trials(tx, study, lanes, endings, at)
    _write_ends(tx, definition, lanes, endings, at)
    if verdicts is not None:
        new_attrs = {lane.trial_id: view.new_attrs(lane.trial_id) for lane in lanes}
        trials.write_system_attrs(tx, new_attrs)
        _take_ends(view, lanes, endings)
        view.written(study.revision)
    counts = tallies.count(tx, study)
    study = settle_counted(tx, study, counts, at, reason=_target_reached(study, lanes))
    going_on = {Verdict.CONTINUE, Verdict.FINISH}
    live = [number for number in sorted(decisions) if decisions[number].verdict in going_on]
    n_back = len(live) if study.state is StudyState.PAUSED else n_too_many(study, counts)
    decisions |= dict.fromkeys(live[max(0, len(live) - n_back) :], Decision(Verdict.HAND_BACK))
    if len(live) < len(lanes):
        attempts.count_packs(tx, study.study_id, {lane.stored.worker for lane in lanes})
    owners.charge(tx, study.owner, used_s)
    return decisions


def _prune(
    tx: Transaction,
    study: StudyRecord,
    definition: Definition,
    lanes: Sequence[_Lane],
    view: JudgedStudy,
) -> dict[int, Pruned] | None:
    """Return why trials are pruned, by number; None if nothing is ever pruned here.

    What has been measured by all lanes, and what has ended by itself, is seen by every judgement.
    A lane that has ended is not pruned any more, but its rivals are measured against the rungs
    it has climbed.
    """
    pruner = _pruner(definition)
    if pruner is None:
        return None
    view.refresh(tx, study.revision)
    metric = definition.goal_metric
    for lane in lanes:
        measured = {
            epoch: float(metrics[metric])
            for epoch, metrics in lane.new_epochs.items()
            if metric in metrics
        }
        view.record(lane.trial_id, measured)
        if lane.report.end is not None:
            view.end(lane.trial_id, OptunaState[lane.report.end.state.name])
        view.show(lane.trial_id, () if lane.report.end is None else lane.report.end.values)
    verdicts: dict[int, Pruned] = {}
    for lane in lanes:
        for epoch in lane.new_epochs:
            pruned = pruner.judge(view, view.up_to(lane.trial_id, epoch))
            if pruned is not None:
                verdicts[lane.number] = pruned
                break
    return verdicts


def _pruner(definition: Definition) -> Pruner | None:
    """Return the study's pruner unless it never prunes."""
    pruner = definition.pruner
    return pruner if isinstance(pruner, Pruner) and pruner.needs is not Needs.NOTHING else None


def _take_ends(view: JudgedStudy, lanes: Sequence[_Lane], endings: Mapping[int, Ending]) -> None:
    """Show the ends that were decided here; those that were reported are seen already."""
    for lane in lanes:
        ending = endings.get(lane.trial_id)
        if ending is not None and lane.report.end is None:
            view.end(lane.trial_id, OptunaState[ending.state.name])


def _judge(
    study: StudyRecord,
    lanes: Sequence[_Lane],
    verdicts: Mapping[int, Pruned] | None,
    at: datetime,
) -> dict[int, Decision]:
    """Decide about the lanes that have not ended by themselves, in number order."""
    decisions: dict[int, Decision] = {}
    for lane in lanes:
        if lane.report.end is not None:
            continue
        pruned = (verdicts or {}).get(lane.number)
        if pruned is not None:
            decisions[lane.number] = Decision(Verdict.PRUNED, pruned)
        elif is_overdue(study, lane.stored.running_s, lane.stored.started_at, at):
            decisions[lane.number] = Decision(Verdict.FAILED)
        elif lane.stored.is_asked_to_stop:
            decisions[lane.number] = Decision(Verdict.FINISH)
        else:
            decisions[lane.number] = Decision(Verdict.CONTINUE)
    return decisions


def _write_measurements(
    tx: Transaction, study: StudyRecord, definition: Definition, lanes: Sequence[_Lane]
) -> None:
    metric = definition.goal_metric
    measured = {
        (lane.trial_id, epoch): metrics
        for lane in lanes
        for epoch, metrics in lane.new_epochs.items()
    }
    epochs.insert_epochs(tx, study.study_id, measured, revision=study.revision)
    trials.write_intermediate(
        tx, {key: metrics[metric] for key, metrics in measured.items() if metric in metrics}
    )


def _write_attempts(
    tx: Transaction,
    lanes: Sequence[_Lane],
    endings: Mapping[int, Ending],
    at: datetime,
    lease_s: float,
) -> None:
    """Write what each attempt has used, its new lease, and how it ended if it did."""
    until = at + timedelta(seconds=lease_s)
    changes = {}
    for lane in lanes:
        ending, state = endings.get(lane.trial_id), AttemptState.RUNNING
        if ending is not None:
            failed = ending.state is TrialState.FAIL
            state = AttemptState.FAILED if failed else AttemptState.SUCCEEDED
        changes[lane.report.token] = {
            "device_seconds": lane.report.device_seconds,
            "lease_expires_at": until,
            "state": state,
            "finished_at": None if ending is None else at,
        }
    attempts.update_attempts(tx, changes)


def _write_trials(
    tx: Transaction,
    study: StudyRecord,
    lanes: Sequence[_Lane],
    endings: Mapping[int, Ending],
    at: datetime,
) -> None:
    """Write our columns of all trials; what only an end fills is written if one ends."""
    changes: dict[int, dict[str, Any]] = {
        lane.trial_id: {
            "revision": study.revision,
            "epochs": max([lane.stored.epochs, *lane.new_epochs]),
            "n_parameters": lane.report.n_parameters or lane.stored.n_parameters,
            "device_seconds": lane.stored.device_seconds + lane.used_s,
            "pack_limit": _suspicion(lane),
        }
        for lane in lanes
    }
    if endings:
        for lane in lanes:
            changes[lane.trial_id] |= _end_columns(lane, endings.get(lane.trial_id), at)
    trials.update_trials(tx, changes)


def _end_columns(lane: _Lane, ending: Ending | None, at: datetime) -> dict[str, Any]:
    running_s = lane.stored.running_s
    if ending is not None:
        running_s += (at - lane.stored.started_at).total_seconds()
    ends = ending or Ending(TrialState.RUNNING)
    kind, message = ends.failure or (None, None)
    return {
        "is_counted": ending is not None,
        "best_epoch": ends.best_epoch,
        "stopped_early": ends.stopped_early,
        "test": ends.test,
        "confusion": ends.confusion,
        "failure_kind": kind,
        "failure_message": message,
        "pruned": None if ends.pruned is None else asdict(ends.pruned),
        "running_s": running_s,
    }


def _write_ends(
    tx: Transaction,
    definition: Definition,
    lanes: Sequence[_Lane],
    endings: Mapping[int, Ending],
    at: datetime,
) -> None:
    """Write the states and values that Optuna reads."""
    if not endings:
        return
    trials.set_states(tx, {trial_id: end.state for trial_id, end in endings.items()}, at=at)
    values: dict[int, Sequence[float]] = {}
    for lane in lanes:
        ending = endings.get(lane.trial_id)
        if ending is not None and ending.pruned is not None:
            values[lane.trial_id] = _last_value(definition, lane)
        elif ending is not None:
            values[lane.trial_id] = ending.values
    trials.write_values(tx, values)


def _suspicion(lane: _Lane) -> int | None:
    """Return the lane's pack limit: an epoch it had not reached when its worker died clears it."""
    is_cleared = max(lane.new_epochs, default=0) > lane.stored.cleared_after
    return None if is_cleared else lane.stored.pack_limit


def _ending(lane: _Lane, decision: Decision) -> Ending | None:
    if lane.report.end is not None:
        return lane.report.end
    if decision.verdict is Verdict.PRUNED:
        return Ending(TrialState.PRUNED, pruned=decision.pruned)
    if decision.verdict is Verdict.FAILED:
        return Ending(TrialState.FAIL, failure=(FailureKind.TIMEOUT, OVERDUE))
    return None


def _last_value(definition: Definition, lane: _Lane) -> tuple[float, ...]:
    """Return what Optuna stores as a pruned trial's value: its last intermediate value."""
    if len(definition.objectives) > 1 or not lane.new_epochs:
        return ()
    value = lane.new_epochs[max(lane.new_epochs)].get(definition.goal_metric, math.nan)
    return (value,) if math.isfinite(value) else ()


def _target_reached(study: StudyRecord, lanes: Sequence[_Lane]) -> StateReason | None:
    ends = [lane.report.end for lane in lanes if lane.report.end is not None]
    is_reached = any(
        end.state is TrialState.COMPLETE and meets_targets(study, end.values) for end in ends
    )
    return StateReason.TARGET_REACHED if is_reached else None
