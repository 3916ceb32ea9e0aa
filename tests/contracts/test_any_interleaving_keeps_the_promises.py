"""Verbs in any order, from several workers and users: what is promised holds after each."""

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
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
from hpsearch.storage import attempts, studies, trials
from hpsearch.storage.database import Database
from hpsearch.storage.tables import epochs, optuna_intermediate
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

N_EXAMPLES = int(os.environ.get("HPSEARCH_TEST_EXAMPLES", "8"))  # noqa: TID251 - more by hand
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
    lanes = Bundle("lanes")

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

    @rule(target=lanes, worker=st.sampled_from(WORKERS), n=st.integers(1, 4))
    def claim(self, worker: str, n: int) -> Any:
        hand = replace(self.hand, worker=worker)
        claimed = hand.claim(n)
        assert len(claimed) <= n
        new = [
            Lane(hand, trial, trial.checkpoint["epoch"] if trial.checkpoint else 0)
            for trial in claimed
        ]
        self.held += new
        return new[0] if new else Lane(hand, NOBODY, 0, is_mine=False)

    @rule(lane=lanes, n=st.integers(1, 2), is_repeated=st.booleans())
    def report(self, lane: Lane, n: int, *, is_repeated: bool) -> None:
        steps = range(lane.epoch + 1, lane.epoch + 1 + n)
        message = epochs_of(lane.trial, dict.fromkeys(steps, 0.5), float(steps[-1]))
        decision = lane.hand.report(message)[lane.trial.number]
        if is_repeated:
            again = lane.hand.report(message)[lane.trial.number]
            assert again.verdict in {decision.verdict, Verdict.HAND_BACK, Verdict.CONTINUE}
        if not lane.is_mine:
            assert decision.verdict not in GOING_ON
            return
        lane.epoch += n
        if decision.verdict is Verdict.HAND_BACK:
            self.give_back(lane, has_checkpoint=True)
        elif decision.verdict not in GOING_ON:
            lane.is_mine = False

    @rule(lane=lanes, is_success=st.booleans())
    def finish(self, lane: Lane, *, is_success: bool) -> None:
        if is_success:
            message = ended(lane.trial, 0.5, lane.epoch + 1)
        else:
            end = Ending(TrialState.FAIL, failure=(FailureKind.DIVERGED, "nan"))
            message = replace(epochs_of(lane.trial, {}), end=end)
        decision = lane.hand.report(message)[lane.trial.number]
        assert not lane.is_mine or decision.verdict is Verdict.RECORDED
        lane.is_mine = False

    @rule(lane=lanes, has_checkpoint=st.booleans())
    def give_back(self, lane: Lane, *, has_checkpoint: bool) -> None:
        checkpoint = {"path": "x", "epoch": lane.epoch} if has_checkpoint and lane.epoch else None
        back = HandBack(lane.trial.number, lane.trial.token, float(lane.epoch), checkpoint)
        hand_back(self.database, lane.hand.uuid, [back])
        lane.is_mine = False

    @rule(lane=lanes, ahead=st.integers(-1, 1))
    def checkpoint(self, lane: Lane, ahead: int) -> None:
        file = {"path": f"attempt-{lane.trial.attempt}", "epoch": max(0, lane.epoch + ahead)}
        record_checkpoints(self.database, self.hand.uuid, {lane.trial.token: file})

    @rule(lane=lanes)
    def lose_checkpoint(self, lane: Lane) -> None:
        start_over(self.database, self.hand.uuid, lane.trial.token)
        if lane.is_mine:
            lane.epoch = 0

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        worker_lost(self.database, worker)
        self._lost(lambda lane: lane.hand.worker == worker)

    @rule(lane=lanes)
    def expire(self, lane: Lane) -> None:
        renew_leases(self.database, self.hand.uuid, [lane.trial.token], -1.0)
        n_expired = expire_leases(self.database)
        assert n_expired == lane.is_mine
        lane.is_mine = False

    @rule()
    def janitor(self) -> None:
        Janitor(self.database, 30.0, NoBell()).tick()

    # users

    @rule(verb=st.sampled_from([pause, resume, stop]))
    def steer(self, verb: Callable[[Database, str], Any]) -> None:
        self._as_user(lambda: verb(self.database, self.name))

    @precondition(lambda self: len(self.held) > 6)
    @rule()
    def cancel(self) -> None:
        cancel(self.database, self.name)
        self._lost(lambda _: True)

    @rule(max_trials=st.integers(1, 10), at_once=st.one_of(st.none(), st.integers(1, 4)))
    def patch(self, max_trials: int, at_once: int | None) -> None:
        limits = {"max_trials": max_trials, "max_concurrent_trials": at_once}
        change_study(self.database, self.name, {"limits": limits})

    @rule(count=st.integers(1, 2), is_whole=st.booleans())
    def enqueue(self, count: int, *, is_whole: bool) -> None:
        point: dict[str, Any] = {"optimizer.learning_rate": 0.5}
        if is_whole:
            point["model.hidden_units[0]"] = 8
        self._as_user(lambda: enqueue(self.database, self.name, params=point, count=count))

    @rule(lane=lanes, verb=st.sampled_from([retry, stop_trial]))
    def wish(self, lane: Lane, verb: Callable[[Database, str, int], Any]) -> None:
        if lane.trial is not NOBODY:
            self._as_user(lambda: verb(self.database, self.name, lane.trial.number))

    # promises

    @invariant()
    def holds(self) -> None:
        with self.database.read() as tx:
            study = studies.get_study(tx, self.name)
            counts = trials.count(tx, study.study_id)
            found = trials.by_numbers(tx, study.study_id, range(counts.total + 1))
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
            counts = trials.count(tx, study.study_id)
        assert study.state.has_ended
        if study.state is StudyState.COMPLETED:
            assert counts.counted >= study.limits["max_trials"]
        delete_study(self.database, self.name)

    def _lost(self, is_lost: Callable[[Lane], bool]) -> None:
        for lane in self.held:
            lane.is_mine = lane.is_mine and not is_lost(lane)

    @staticmethod
    def _as_user(wish: Callable[[], Any]) -> None:
        with contextlib.suppress(WrongState):  # a user is told, and nothing has changed
            wish()


NOBODY = ClaimedTrial(0, 0, "nobody", config=None, checkpoint=None)  # type: ignore[arg-type]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def test_any_interleaving_keeps_the_promises(database: Database) -> None:
    run_state_machine_as_test(
        type("PromisesHere", (Promises,), {"database": database}),
        settings=settings(
            max_examples=N_EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=N_EXAMPLES == 8,
            suppress_health_check=list(HealthCheck),
        ),
    )
