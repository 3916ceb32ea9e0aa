"""Verbs in any order, from several workers and users: what is promised holds after each."""

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from hpsearch.errors import WrongState
from hpsearch.spec.states import AttemptState, FailureKind, StudyState, TrialState
from hpsearch.storage import attempts, studies, tallies, trials
from hpsearch.storage.database import Database
from hpsearch.storage.tables import epochs, optuna_intermediate
from hpsearch.storage.trials import TrialCountsRecord, TrialRecord
from hpsearch.studies.change import change_study
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.control import cancel, delete_study, pause, resume, stop
from hpsearch.studies.enqueue import enqueue, retry
from hpsearch.studies.janitor import Janitor
from hpsearch.studies.recover import (
    HandBack,
    expire_leases,
    hand_back,
    record_checkpoints,
    renew_leases,
    start_over,
    worker_lost,
)
from hpsearch.studies.report import Ending, Verdict
from hpsearch.studies.stop_trial import stop_trial
from tests.studies import Hand, ended, epochs_of, opened, stored

N_EXAMPLES = int(os.environ.get("HPSEARCH_TEST_EXAMPLES", "5"))  # noqa: TID251 - more by hand
WORKERS = ("worker-0", "worker-1", "worker-2")
GOING_ON = (Verdict.CONTINUE, Verdict.FINISH)
names = (f"study-{n}" for n in itertools.count())


@dataclass
class Lane:
    """A trial in a worker's hands; a worker may not know that it has lost it."""

    hand: Hand
    trial: ClaimedTrial
    epoch: int
    is_mine: bool = True


class NoBell:
    def ring(self, n: int, study: str) -> None: ...

    def waiting(self) -> int:
        return 0


class Promises(RuleBasedStateMachine):
    """One study, three workers, users who cannot make up their minds."""

    database: Database

    @initialize(max_trials=st.integers(1, 8), max_attempts=st.integers(1, 2))
    def create(self, max_trials: int, max_attempts: int) -> None:
        self.name = next(names)
        limits = {"max_trials": max_trials, "max_attempts": max_attempts}
        self.hand = stored(self.database, self.name, limits=limits)
        self.held: list[Lane] = []
        self.revision = 0
        self.allowed, self.at_once = max_trials, 10**6
        self.finished: dict[int, Any] = {}
        self.params: dict[int, Any] = {}
        self.is_deleted = False

    # workers

    @rule(worker=st.sampled_from(WORKERS), n=st.integers(1, 4))
    def claim(self, worker: str, n: int) -> None:
        hand = replace(self.hand, worker=worker)
        claimed = hand.claim(n)
        assert len(claimed) <= n
        self.held += [
            Lane(hand, trial, trial.checkpoint["epoch"] if trial.checkpoint else 0)
            for trial in claimed
        ]

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 63), n=st.integers(1, 2), is_repeated=st.booleans())
    def report(self, which: int, n: int, *, is_repeated: bool) -> None:
        lane = self._lane(which)
        steps = range(lane.epoch + 1, lane.epoch + 1 + n)
        message = epochs_of(lane.trial, dict.fromkeys(steps, 0.5), float(steps[-1]))
        decision = lane.hand.report(message)[lane.trial.number]
        if is_repeated:
            again = lane.hand.report(message)[lane.trial.number]
            assert again.verdict is decision.verdict
        if not lane.is_mine:
            assert decision.verdict not in {*GOING_ON, Verdict.HAND_BACK}
            return
        assert decision.verdict is not Verdict.FENCED
        lane.epoch += n
        if decision.verdict is Verdict.HAND_BACK:
            self._give_back(lane, {"path": "x", "epoch": lane.epoch})

    also_report = report  # what happens most

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 63), is_success=st.booleans())
    def finish(self, which: int, *, is_success: bool) -> None:
        lane = self._lane(which)
        if is_success:
            message = ended(lane.trial, 0.5, lane.epoch + 1)
        else:
            end = Ending(TrialState.FAIL, failure=(FailureKind.DIVERGED, "nan"))
            message = replace(epochs_of(lane.trial, {}), end=end)
        decision = lane.hand.report(message)[lane.trial.number]
        assert not lane.is_mine or decision.verdict is Verdict.RECORDED
        lane.is_mine = False

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 63), ahead=st.integers(-1, 1))
    def checkpoint(self, which: int, ahead: int) -> None:
        lane = self._lane(which)
        file = {"path": f"attempt-{lane.trial.attempt}", "epoch": max(0, lane.epoch + ahead)}
        record_checkpoints(self.database, self.hand.uuid, {lane.trial.token: file})

    @precondition(lambda self: self.held)
    @rule(
        which=st.integers(0, 63), how=st.sampled_from(["back", "saved", "ahead", "lost", "late"])
    )
    def interrupt(self, which: int, how: str) -> None:
        lane = self._lane(which)
        if how == "lost":
            start_over(self.database, self.hand.uuid, lane.trial.token)
            lane.epoch = 0 if lane.is_mine else lane.epoch
        elif how == "late":
            renew_leases(self.database, self.hand.uuid, [lane.trial.token], -1.0)
            assert expire_leases(self.database) == lane.is_mine
            lane.is_mine = False
        else:
            epoch = lane.epoch + (how == "ahead")
            self._give_back(lane, {"path": "x", "epoch": epoch} if how != "back" else None)

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        worker_lost(self.database, worker)
        self._lost(lambda lane: lane.hand.worker == worker)

    # users

    @rule(verb=st.sampled_from([resume, pause, stop, resume, resume]))
    def steer(self, verb: Callable[[Database, str], Any]) -> None:
        self._as_user(lambda: verb(self.database, self.name))
        Janitor(self.database, 30.0, NoBell()).tick()

    @precondition(lambda self: len(self.held) > 12)
    @rule()
    def cancel(self) -> None:
        cancel(self.database, self.name)
        self._lost(lambda _: True)

    @rule(max_trials=st.integers(1, 12), at_once=st.sampled_from([None, None, 1, 2, 4]))
    def patch(self, max_trials: int, at_once: int | None) -> None:
        limits = {"max_trials": max_trials, "max_concurrent_trials": at_once}
        change_study(self.database, self.name, {"limits": limits})

    @rule(count=st.integers(1, 2), is_whole=st.booleans())
    def enqueue(self, count: int, *, is_whole: bool) -> None:
        point: dict[str, Any] = {"optimizer.learning_rate": 0.5}
        if is_whole:
            point["model.hidden_units[0]"] = 8
        self._as_user(lambda: enqueue(self.database, self.name, params=point, count=count))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 63), verb=st.sampled_from([retry, stop_trial]))
    def wish(self, which: int, verb: Callable[[Database, str, int], Any]) -> None:
        number = self._lane(which).trial.number
        self._as_user(lambda: verb(self.database, self.name, number))

    # promises

    @invariant()
    def holds(self) -> None:
        with self.database.read() as tx:
            study = studies.get_study(tx, self.name)
            counts, sums = tallies.count(tx, study), tallies.tally(tx, study)
            found = trials.by_numbers(tx, study.study_id, trials.numbers(tx, study.study_id))
            points = trials.read_params(tx, [trial.trial_id for trial in found])
            values = trials.read_values(tx, [trial.trial_id for trial in found])
            tries = {trial.number: attempts.of_trial(tx, trial.trial_id) for trial in found}
            steps: dict[int, list[int]] = {trial.trial_id: [] for trial in found}
            for trial_id, step in tx.execute(
                select(epochs.c.trial_id, epochs.c.epoch)
                .where(epochs.c.study_id == study.study_id)
                .order_by(epochs.c.epoch)
            ):
                steps[trial_id].append(step)
            theirs = Counter(
                tx.execute(
                    select(optuna_intermediate.c.trial_id).where(
                        optuna_intermediate.c.trial_id.in_(steps)
                    )
                ).scalars()
            )
        assert [trial.number for trial in found] == list(range(counts.total))
        assert study.revision >= self.revision
        self.revision = study.revision
        self._check_limits(study.limits, counts)
        self._check_sums(found, counts, sums, values)
        assert not (study.state.has_ended and counts.running)
        for trial in found:
            states = Counter(attempt.state for attempt in tries[trial.number])
            assert states[AttemptState.RUNNING] == (trial.state is TrialState.RUNNING)
            has_result = trial.state in {TrialState.COMPLETE, TrialState.PRUNED}
            assert states[AttemptState.SUCCEEDED] == has_result
            assert len(tries[trial.number]) == trial.n_attempts
            assert steps[trial.trial_id] == list(range(1, trial.epochs + 1))
            assert theirs[trial.trial_id] == trial.epochs
            if trial.has_params:
                point = points[trial.trial_id]
                assert self.params.setdefault(trial.number, point) == point
            if trial.state.has_finished:
                facts = (trial.state, trial.failure, values.get(trial.trial_id), trial.epochs)
                assert self.finished.setdefault(trial.number, facts) == facts

    def _check_sums(
        self,
        found: Sequence[TrialRecord],
        counts: TrialCountsRecord,
        sums: tallies.Tally,
        values: dict[int, list[float]],
    ) -> None:
        """Sums kept from revision to revision equal those of all rows."""
        states = Counter(trial.state for trial in found)
        by_state = (counts.waiting, counts.running, counts.complete, counts.pruned, counts.fail)
        assert by_state == tuple(states[state] for state in TrialState)
        assert counts.counted == sum(trial.is_counted for trial in found)
        assert counts.counted_fail == sum(
            trial.is_counted and trial.state is TrialState.FAIL for trial in found
        )
        assert counts.waiting_begun == sum(
            trial.state is TrialState.WAITING and trial.n_attempts > 0 for trial in found
        )
        complete = [
            (values[trial.trial_id][0], -trial.number)
            for trial in found
            if trial.state is TrialState.COMPLETE
        ]
        value, number = max(complete, default=(0.0, 0))
        assert sums.best == ((-number, value) if complete else None)

    def _check_limits(self, limits: dict[str, Any], counts: Any) -> None:
        # what runs when a limit is lowered may end, but nothing may begin
        begun = counts.counted + counts.running
        self.allowed = max(limits["max_trials"], min(self.allowed, begun))
        assert begun <= self.allowed
        at_once = limits["max_concurrent_trials"]
        self.at_once = max(
            10**6 if at_once is None else at_once, min(self.at_once, counts.running)
        )
        assert counts.running <= self.at_once

    def teardown(self) -> None:
        """Every study ends, once its workers are replaced by one that works."""
        if not hasattr(self, "name"):
            return
        for worker in WORKERS:
            worker_lost(self.database, worker)
        self._as_user(lambda: resume(self.database, self.name))
        hand = replace(self.hand, worker="worker-3")
        for _ in range(40):
            for trial in hand.claim(3):
                epoch = trial.checkpoint["epoch"] if trial.checkpoint else 0
                assert hand.finish(trial, 0.5, epoch + 1).verdict is Verdict.RECORDED
        self.holds()
        with self.database.read() as tx:
            study = studies.get_study(tx, self.name)
            counts = tallies.count(tx, study)
        assert study.state.has_ended
        if study.state is StudyState.COMPLETED:
            assert counts.counted >= study.limits["max_trials"]
        delete_study(self.database, self.name)

    def _lane(self, which: int) -> Lane:
        """Return a lane, most often one that is still its worker's."""
        mine = [lane for lane in self.held if lane.is_mine]
        lanes = mine if mine and which % 4 else self.held
        return lanes[which % len(lanes)]

    def _give_back(self, lane: Lane, checkpoint: dict[str, Any] | None) -> None:
        back = HandBack(lane.trial.number, lane.trial.token, float(lane.epoch), checkpoint)
        hand_back(self.database, lane.hand.uuid, [back])
        lane.is_mine = False

    def _lost(self, is_lost: Callable[[Lane], bool]) -> None:
        for lane in self.held:
            lane.is_mine = lane.is_mine and not is_lost(lane)

    @staticmethod
    def _as_user(wish: Callable[[], Any]) -> None:
        with contextlib.suppress(WrongState):  # a user is told, and nothing has changed
            wish()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def test_any_interleaving_keeps_the_promises(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "FOLD_AFTER", 2)  # kept sums move forward often
    run_state_machine_as_test(
        type("PromisesHere", (Promises,), {"database": database}),
        settings=settings(
            max_examples=N_EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=N_EXAMPLES == 5,
            suppress_health_check=list(HealthCheck),
        ),
    )
