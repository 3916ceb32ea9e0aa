"""Pruning inside reports: what is recorded, what is remembered, what a rewind forgets."""

from dataclasses import astuple
from typing import Any, Literal

import pytest
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import select

from hpsearch.faults import Window
from hpsearch.pruning.base import REGISTRY, Pruner
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.spec.states import TrialState
from hpsearch.spec.views import Pruned
from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.storage.studies import get_study as get_study_record
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.compiled import compiled
from hpsearch.studies.judged import judged_study
from hpsearch.studies.read import get_trial
from hpsearch.studies.recover import HandBack, hand_back, worker_lost
from hpsearch.studies.report import Decision, TrialReport, Verdict, report
from tests.studies import Hand, ended, epochs_of, stored

HALVING = {"name": "successive_halving", "reduction_factor": 2}


def pruning(database: Database, pruner: dict[str, Any], **changes: Any) -> Hand:
    return stored(
        database,
        pruner=pruner,
        training={"epochs": 8},
        limits={"max_trials": 20, "max_attempts": 5},
        **changes,
    )


def rungs(database: Database, number: int) -> dict[str, str]:
    attrs = tables.optuna_system_attrs.c
    join = tables.trials.c.trial_id == attrs.trial_id
    query = select(attrs.key, attrs.value_json).where(join, tables.trials.c.number == number)
    with database.read() as tx:
        return {row.key: row.value_json for row in tx.execute(query)}


def told(decision: Decision) -> tuple[Any, ...]:
    assert decision.pruned is not None
    return astuple(decision.pruned)


def finish_three(hand: Hand) -> ClaimedTrial:
    """End three trials with 0.5, 0.6 and 0.7 in both epochs; return one that runs."""
    *done, running = hand.claim(4)
    for trial, value in zip(done, (0.5, 0.6, 0.7), strict=True):
        hand.epoch(trial, 1, value)
        hand.finish(trial, value, epoch=2)
    return running


def test_the_decision_says_what_was_compared(database: Database) -> None:
    hand = pruning(database, {"name": "median", "n_startup_trials": 3, "n_warmup_steps": 1})
    trial = finish_three(hand)

    assert hand.epoch(trial, 1, 0.1).verdict is Verdict.CONTINUE
    decision = hand.epoch(trial, 2, 0.55)

    assert decision.verdict is Verdict.PRUNED
    assert told(decision) == ("median", 2, 0.55, pytest.approx(0.6))
    view = get_trial(database, "study", trial.number)
    assert (view.state, view.pruned) == (TrialState.PRUNED, decision.pruned)


@pytest.mark.parametrize(
    ("pruner", "value", "threshold"),
    [
        ({"name": "percentile", "percentile": 25, "n_startup_trials": 3}, 0.6, 0.65),
        ({"name": "threshold", "lower": 0.2}, 0.1, 0.2),
        ({"name": "threshold", "upper": 0.8}, 0.9, 0.8),
        (HALVING, 0.55, 0.6),
    ],
)
def test_every_rule_tells_its_threshold(
    database: Database, pruner: dict[str, Any], value: float, threshold: float
) -> None:
    hand = pruning(database, pruner)
    decision = hand.epoch(finish_three(hand), 1, value)
    assert told(decision) == (pruner["name"], 1, value, pytest.approx(threshold))


def test_patience_compares_a_trial_with_itself(database: Database) -> None:
    hand = pruning(database, {"name": "patient", "patience": 0, "min_delta": 0.05})
    (trial,) = hand.claim(1)
    hand.epoch(trial, 1, 0.5)
    assert hand.epoch(trial, 2, 0.46).verdict is Verdict.CONTINUE
    assert told(hand.epoch(trial, 3, 0.4)) == ("patient", 3, 0.4, pytest.approx(0.45))


def test_the_epochs_of_one_report_are_judged_in_order(database: Database) -> None:
    hand = pruning(database, {"name": "threshold", "lower": 0.3})
    (trial,) = hand.claim(1)
    decision = hand.report(epochs_of(trial, {1: 0.5, 2: 0.2, 3: 0.1, 4: 0.9}))[0]
    assert decision.pruned is not None
    assert (decision.pruned.epoch, decision.pruned.value) == (2, 0.2)


def test_a_lane_that_has_ended_by_itself_is_complete_and_its_rungs_count(
    database: Database,
) -> None:
    hand = pruning(database, HALVING)
    good, bad, best = hand.claim(3)
    decisions = hand.report(
        epochs_of(good, {1: 0.6, 2: 0.6}), ended(bad, 0.1), epochs_of(best, {1: 0.7, 2: 0.7})
    )
    assert decisions[bad.number] == Decision(Verdict.RECORDED)
    assert get_trial(database, "study", bad.number).state is TrialState.COMPLETE
    assert rungs(database, bad.number) == {"completed_rung_0": "0.1"}
    assert decisions[best.number].verdict is Verdict.CONTINUE


def test_trials_that_end_count_for_those_judged_in_the_same_report(database: Database) -> None:
    hand = pruning(database, {"name": "median", "n_startup_trials": 2})
    first, *others = hand.claim(3)
    decisions = hand.report(epochs_of(first, {1: 0.1}), *(ended(trial, 0.8) for trial in others))
    assert decisions[first.number].verdict is Verdict.PRUNED


def test_what_a_pruner_remembers_is_rewound_with_the_trial(database: Database) -> None:
    hand = pruning(database, HALVING)
    (trial,) = hand.claim(1)
    hand.report(epochs_of(trial, {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}))
    assert rungs(database, 0) == {
        "completed_rung_0": "0.1",
        "completed_rung_1": "0.2",
        "completed_rung_2": "0.4",
    }

    checkpoint = {"path": "somewhere", "epoch": 3}
    hand_back(database, hand.uuid, [HandBack(0, trial.token, 1.0, checkpoint)])
    assert rungs(database, 0) == {"completed_rung_0": "0.1", "completed_rung_1": "0.2"}

    (again,) = hand.claim(1)
    hand.report(epochs_of(again, {4: 0.9}))
    assert rungs(database, 0)["completed_rung_2"] == "0.9"


@pytest.mark.parametrize("name", ["hyperband", "patient"])
def test_a_trial_that_starts_again_has_no_rungs(database: Database, name: str) -> None:
    hyperband = {"name": "hyperband", "reduction_factor": 2}
    patient = {"name": "patient", "patience": 0, "wrapped_pruner": hyperband}
    hand = pruning(database, hyperband if name == "hyperband" else patient)
    claimed = hand.claim(8)
    for trial in claimed:
        hand.report(epochs_of(trial, {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6}))
    assert any(rungs(database, trial.number) for trial in claimed)

    worker_lost(database, "worker-0")

    waiting = [t.number for t in claimed if get_trial(database, "study", t.number).epochs == 0]
    assert waiting
    assert not any(rungs(database, number) for number in waiting)


def test_the_retry_of_a_report_gives_the_same_decision(database: Database) -> None:
    hand = pruning(database, {"name": "threshold", "lower": 0.3})
    (trial,) = hand.claim(1)
    message = epochs_of(trial, {1: 0.1})
    assert hand.report(message) == hand.report(message)


def test_several_objectives_are_pruned_by_the_first_metric(database: Database) -> None:
    hand = pruning(
        database,
        {"name": "median", "n_startup_trials": 3},
        objectives=[{"metric": "n_parameters"}, {"metric": "val_loss"}],
    )
    *done, trial = hand.claim(4)
    for other in done:
        hand.finish(other, 0.6)  # a loss of 0.4
    assert hand.epoch(trial, 1, 0.7).verdict is Verdict.CONTINUE
    decision = hand.epoch(hand.claim(1)[0], 1, 0.5)
    assert told(decision) == ("median", 1, pytest.approx(0.5), pytest.approx(0.4))


class ByOptuna(Pruner):
    """A pruner of somebody else: it asks Optuna's, which walks through all trials."""

    name: Literal["by_optuna"] = "by_optuna"

    def judge(self, study: JudgedStudy, trial: FrozenTrial) -> Pruned | None:
        assert trial.params
        assert all(other.params for other in study.optuna.get_trials(deepcopy=False))
        complete = study.optuna.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
        assert all(other.value in {0.5, 0.6, 0.7} for other in complete)
        pruner = SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
        if not pruner.prune(study.optuna, trial):
            return None
        value = trial.intermediate_values[trial.last_step or 0]
        return Pruned("by_optuna", trial.last_step or 0, value, None)


def test_a_pruner_of_ones_own_sees_whole_trials_and_decides_alike(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "median" in REGISTRY
    monkeypatch.setitem(REGISTRY._classes, "by_optuna", ByOptuna)
    theirs = pruning(database, {"name": "by_optuna"}, name="theirs")
    ours = pruning(database, HALVING, name="ours")
    found: list[list[Any]] = []
    for hand in (theirs, ours):
        trial = finish_three(hand)
        decisions = [hand.epoch(trial, 1, 0.65), hand.epoch(trial, 2, 0.3)]
        found.append([decision.verdict for decision in decisions])
        attrs = tables.optuna_system_attrs.c
        with database.read() as tx:
            studies = tables.trials.join(tables.studies)
            query = select(tables.trials.c.number, attrs.key, attrs.value_json).select_from(
                studies.join(
                    tables.optuna_system_attrs, tables.trials.c.trial_id == attrs.trial_id
                )
            )
            rows = tx.execute(query.where(tables.studies.c.uuid == hand.uuid)).all()
        found.append(sorted(map(tuple, rows)))

    assert found[0] == [Verdict.CONTINUE, Verdict.PRUNED]
    assert found[:2] == found[2:]


def test_what_was_rolled_back_is_not_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = pruning(database, HALVING)
    with database.read() as tx:
        study = get_study_record(tx, "study")
    view = judged_study(compiled(study), study.study_id)
    good, other = hand.claim(2)

    def send(*reports: TrialReport) -> dict[int, Decision]:
        return report(database, hand.uuid, reports, lease_s=30.0, judged=view)

    def cut(window: Window) -> None:
        if window is Window.REPORT_UNCOMMITTED:
            raise RuntimeError("cut")

    with monkeypatch.context() as patch:
        patch.setattr("hpsearch.studies.report.reached", cut)
        with pytest.raises(RuntimeError, match="cut"):
            send(epochs_of(good, {1: 0.9}))
    assert rungs(database, good.number) == {}

    assert send(epochs_of(other, {1: 0.5}))[other.number].verdict is Verdict.CONTINUE
    assert send(epochs_of(good, {1: 0.9}))[good.number].verdict is Verdict.CONTINUE
    assert rungs(database, good.number) == {"completed_rung_0": "0.9"}
