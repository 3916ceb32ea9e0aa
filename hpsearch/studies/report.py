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

from hpsearch.faults import Window, reached
from hpsearch.pruning.base import Pruner
from hpsearch.spec.definition import Definition
from hpsearch.spec.states import AttemptState, FailureKind, StateReason, StudyState, TrialState
from hpsearch.spec.views import Pruned
from hpsearch.storage import attempts, epochs, owners, studies, trials
from hpsearch.storage.attempts import AttemptRecord
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.history import History
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialRecord
from hpsearch.studies.compiled import compiled
from hpsearch.studies.judged import judged_study
from hpsearch.studies.overdue import MESSAGE as OVERDUE
from hpsearch.studies.overdue import is_overdue
from hpsearch.studies.settle import n_too_many, settle_counted
from hpsearch.studies.target import meets_targets


@dataclass(frozen=True, slots=True)
class Ending:
    """How a lane ended by itself.

    Attributes:
        state: COMPLETE or FAIL.
        best_epoch: The epoch the values were taken at.
        values: One per objective, in order; empty if it failed.
        test: Metrics on the test split.
        confusion: Its examples by true and by predicted class, or None.
        stopped_early: Whether patience ended it.
        failure: Kind and message if it failed.
    """

    state: TrialState
    best_epoch: int | None = None
    values: tuple[float, ...] = ()
    test: Mapping[str, float] | None = None
    confusion: Sequence[Sequence[int]] | None = None
    stopped_early: bool = False
    failure: tuple[FailureKind, str] | None = None


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
    """One lane of a report while it is being judged."""

    report: TrialReport
    attempt: AttemptRecord
    trial: TrialRecord
    new_epochs: dict[int, Mapping[str, float]]


def report(
    database: Database,
    uuid: str,
    reports: Sequence[TrialReport],
    *,
    lease_s: float,
    history: History | None = None,
) -> dict[int, Decision]:
    """Record what lanes measured and how they ended; return a decision by trial number.

    Idempotent: epochs already recorded are passed over, device-seconds are cumulative, and a
    report with a token whose attempt has ended is answered with that attempt's outcome.

    Args:
        database: Where the study lives.
        uuid: The study.
        reports: One per lane.
        lease_s: For how long the leases are renewed, from now.
        history: The caller's incremental view of the study, used if the pruner needs one.
    """
    fenced = {item.number: Decision(Verdict.FENCED) for item in reports}
    try:
        with database.write() as tx:
            study = studies.lock_by_uuid(tx, uuid)
            if study is None:
                return fenced
            known = attempts.by_tokens(tx, study.study_id, [item.token for item in reports])
            decisions = fenced | _outcomes(tx, study, reports, known)
            lanes = _live_lanes(tx, study, reports, known)
            if lanes:
                view = history or History(study.study_id)
                decisions |= _record(tx, study, lanes, lease_s, view)
            reached(Window.REPORT_UNCOMMITTED)
        reached(Window.REPORT_COMMITTED)
        return decisions
    except BaseException:
        if history is not None:
            history.forget()  # it may have read what was rolled back
        raise


def _live_lanes(
    tx: Transaction,
    study: StudyRecord,
    reports: Sequence[TrialReport],
    known: Mapping[str, AttemptRecord],
) -> list[_Lane]:
    live = {
        item.number: item
        for item in reports
        if item.token in known
        and known[item.token].state is AttemptState.RUNNING
        and known[item.token].trial_number == item.number
    }
    records = trials.by_numbers(tx, study.study_id, live)
    last = epochs.last_epochs(tx, [record.trial_id for record in records])
    lanes = []
    for record in records:
        item, recorded = live[record.number], last.get(record.trial_id, 0)
        new = {epoch: item.epochs[epoch] for epoch in sorted(item.epochs) if epoch > recorded}
        # a lane that went on from somewhere else would leave a hole: it is fenced
        if list(new) == list(range(recorded + 1, recorded + 1 + len(new))):
            lanes.append(_Lane(item, known[item.token], record, new))
    return lanes


def _outcomes(
    tx: Transaction,
    study: StudyRecord,
    reports: Sequence[TrialReport],
    known: Mapping[str, AttemptRecord],
) -> dict[int, Decision]:
    """Return the recorded outcomes of attempts that have ended with these tokens."""
    ended = {
        item.number: known[item.token]
        for item in reports
        if item.token in known and known[item.token].state is not AttemptState.RUNNING
    }
    decisions = {}
    for record in trials.by_numbers(tx, study.study_id, ended):
        state = ended[record.number].state
        if state is AttemptState.SUCCEEDED and record.state is TrialState.PRUNED:
            decisions[record.number] = Decision(Verdict.PRUNED, record.pruned)
        elif state in {AttemptState.SUCCEEDED, AttemptState.FAILED}:
            decisions[record.number] = Decision(Verdict.RECORDED)
    return decisions


def _record(
    tx: Transaction,
    study: StudyRecord,
    lanes: Sequence[_Lane],
    lease_s: float,
    history: History,
) -> dict[int, Decision]:
    definition = compiled(study)
    at, revision = now(tx), studies.raise_revision(tx, study)
    used_s = _write_measurements(tx, study, definition, lanes, at, lease_s, revision)
    # what has ended by itself is written first, so that it counts among the siblings
    decisions = {
        lane.trial.number: Decision(Verdict.RECORDED) for lane in lanes if lane.report.end
    }
    _write_ends(tx, definition, lanes, decisions, at)
    judged = _judge(tx, study, definition, lanes, at, history)
    _write_ends(tx, definition, lanes, judged, at)
    decisions |= judged
    study, counts = settle_counted(tx, study, reason=_target_reached(study, lanes))
    going_on = {Verdict.CONTINUE, Verdict.FINISH}
    live = [number for number in sorted(decisions) if decisions[number].verdict in going_on]
    n_back = len(live) if study.state is StudyState.PAUSED else n_too_many(study, counts)
    decisions |= dict.fromkeys(live[max(0, len(live) - n_back) :], Decision(Verdict.HAND_BACK))
    if len(live) < len(lanes):
        attempts.count_packs(tx, study.study_id, {lane.attempt.worker for lane in lanes})
    owners.charge(tx, study.owner, used_s)
    return decisions


def _write_measurements(
    tx: Transaction,
    study: StudyRecord,
    definition: Definition,
    lanes: Sequence[_Lane],
    at: datetime,
    lease_s: float,
    revision: int,
) -> float:
    """Write what was measured; return the device-seconds since the last report."""
    metric = definition.goal_metric
    measured = {
        (lane.trial.trial_id, epoch): metrics
        for lane in lanes
        for epoch, metrics in lane.new_epochs.items()
    }
    epochs.insert_epochs(tx, study.study_id, measured, revision=revision)
    trials.write_intermediate(
        tx, {key: metrics[metric] for key, metrics in measured.items() if metric in metrics}
    )
    attempts.record_usage(
        tx,
        {lane.report.token: lane.report.device_seconds for lane in lanes},
        at + timedelta(seconds=lease_s),
    )
    deltas = {
        lane.trial.trial_id: max(0.0, lane.report.device_seconds - lane.attempt.device_seconds)
        for lane in lanes
    }
    trials.update_trials(
        tx,
        {
            lane.trial.trial_id: {
                "revision": revision,
                "epochs": max([lane.trial.epochs, *lane.new_epochs]),
                "n_parameters": lane.report.n_parameters or lane.trial.n_parameters,
                "device_seconds": lane.trial.device_seconds + deltas[lane.trial.trial_id],
                "pack_limit": _suspicion(lane),
            }
            for lane in lanes
        },
    )
    used_s = sum(deltas.values())
    studies.add_usage(tx, study, used_s, definition.weight)
    return used_s


def _suspicion(lane: _Lane) -> int | None:
    """Return the lane's pack limit: an epoch it had not reached when its worker died clears it."""
    is_cleared = max(lane.new_epochs, default=0) > lane.trial.cleared_after
    return None if is_cleared else lane.trial.pack_limit


def _judge(
    tx: Transaction,
    study: StudyRecord,
    definition: Definition,
    lanes: Sequence[_Lane],
    at: datetime,
    history: History,
) -> dict[int, Decision]:
    """Decide about the lanes that have not ended by themselves, in number order."""
    verdicts = _prune(tx, definition, lanes, history)
    decisions: dict[int, Decision] = {}
    for lane in lanes:
        if lane.report.end is not None:
            continue
        pruned = verdicts.get(lane.trial.number)
        if pruned is not None:
            decisions[lane.trial.number] = Decision(Verdict.PRUNED, pruned)
        elif is_overdue(study, lane.trial, lane.attempt, at):
            decisions[lane.trial.number] = Decision(Verdict.FAILED)
        elif lane.trial.is_asked_to_stop:
            decisions[lane.trial.number] = Decision(Verdict.FINISH)
        else:
            decisions[lane.trial.number] = Decision(Verdict.CONTINUE)
    return decisions


def _prune(
    tx: Transaction, definition: Definition, lanes: Sequence[_Lane], history: History
) -> dict[int, Pruned]:
    """Return why trials are pruned, by number; what the pruner remembers is written.

    A lane that has ended by itself is not pruned any more, but its rivals are measured against
    the rungs it has climbed.
    """
    pruner = definition.pruner
    if not isinstance(pruner, Pruner) or not pruner.needs_history:
        return {}
    history.refresh(tx, is_writing=True)
    study = judged_study(definition, history.trials)
    verdicts: dict[int, Pruned] = {}
    for lane in lanes:
        for epoch in lane.new_epochs:
            pruned = pruner.judge(study, study.up_to(lane.trial.trial_id, epoch))
            if pruned is not None:
                verdicts[lane.trial.number] = pruned
                break
    trials.write_system_attrs(
        tx, {lane.trial.trial_id: study.new_attrs(lane.trial.trial_id) for lane in lanes}
    )
    return verdicts


def _write_ends(
    tx: Transaction,
    definition: Definition,
    lanes: Sequence[_Lane],
    decisions: Mapping[int, Decision],
    at: datetime,
) -> None:
    changes: dict[int, dict[str, Any]] = {}
    states: dict[int, TrialState] = {}
    values: dict[int, Sequence[float]] = {}
    closed: dict[AttemptState, list[str]] = {}
    for lane in lanes:
        decision = decisions.get(lane.trial.number)
        ending = None if decision is None else _ending(lane, decision)
        if decision is None or ending is None:
            continue
        state, pruned = ending.state, decision.pruned
        states[lane.trial.trial_id] = state
        failed = state is TrialState.FAIL
        outcome = AttemptState.FAILED if failed else AttemptState.SUCCEEDED
        closed.setdefault(outcome, []).append(lane.report.token)
        if ending.values:
            values[lane.trial.trial_id] = ending.values
        elif pruned is not None:
            values[lane.trial.trial_id] = _last_value(definition, lane)
        kind, message = ending.failure or (None, None)
        changes[lane.trial.trial_id] = {
            "is_counted": True,
            "best_epoch": ending.best_epoch,
            "stopped_early": ending.stopped_early,
            "test": ending.test,
            "confusion": ending.confusion,
            "failure_kind": kind,
            "failure_message": message,
            "pruned": None if pruned is None else asdict(pruned),
            "running_s": lane.trial.running_s + (at - lane.attempt.started_at).total_seconds(),
        }
    trials.update_trials(tx, changes)
    trials.set_states(tx, states, at=at)
    trials.write_values(tx, values)
    for outcome, tokens in closed.items():
        attempts.close(tx, tokens, outcome, at)


def _ending(lane: _Lane, decision: Decision) -> Ending | None:
    if lane.report.end is not None:
        return lane.report.end
    if decision.verdict is Verdict.PRUNED:
        return Ending(TrialState.PRUNED)
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
