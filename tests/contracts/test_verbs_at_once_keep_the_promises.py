"""Verbs at the same time, each from a connection of its own: what is promised holds throughout.

The sibling of ``test_any_interleaving_keeps_the_promises``, which puts whole verbs in any order:
here they overlap, and the database has to keep them apart.
"""

import contextlib
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from hpsearch.errors import TrialNotFound, WrongState
from hpsearch.spec.states import AttemptState, FailureKind, StudyState, TrialState
from hpsearch.storage import attempts, studies, tables, tallies, trials
from hpsearch.storage.database import Database
from hpsearch.studies.change import change_study
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.control import pause, resume, stop
from hpsearch.studies.enqueue import enqueue, retry
from hpsearch.studies.janitor import Janitor
from hpsearch.studies.recover import (
    HandBack,
    hand_back,
    record_checkpoints,
    renew_leases,
    worker_lost,
)
from hpsearch.studies.report import Ending, Verdict
from hpsearch.studies.stop_trial import stop_trial
from tests.studies import Hand, ended, epochs_of, opened, stored

N_VERBS = 5 * int(os.environ.get("HPSEARCH_TEST_EXAMPLES", "5"))  # noqa: TID251 - more by hand
SEED = int(os.environ.get("HPSEARCH_TEST_SEED", "1"))  # noqa: TID251 - not the moments
AT_ONCE = 5  # limits.max_concurrent_trials, which nobody changes
GOING_ON = {Verdict.CONTINUE, Verdict.FINISH}


class NoBell:
    def ring(self, n: int, study: str) -> None: ...

    def waiting(self) -> int:
        return 0


class Crowd:
    """Threads with seeds of their own, all of them at one study.

    Attributes:
        hands: What is being trained, with its next epoch; anybody may report it, as after a
            request that was sent twice.
        wrong: What somebody has seen that must not be.
    """

    def __init__(self, database: Database, url: str, seed: int) -> None:
        self.database, self.url, self.seed = database, url, seed
        limits = {"max_trials": 25, "max_concurrent_trials": AT_ONCE, "max_attempts": 3}
        self.uuid = stored(database, limits=limits).uuid
        self.hands: list[tuple[Hand, ClaimedTrial, int]] = []
        self.claim_ids = [str(uuid4())]
        self.wrong: list[str] = []
        self.left = threading.Semaphore(0)

    def go(self) -> None:
        """Let everybody do their verbs, watched all the time."""
        roles = [self.work, self.work, self.work, self.wish, self.wish, self.tidy]
        threads = [
            threading.Thread(target=self._repeat, args=(role, i)) for i, role in enumerate(roles)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.wrong += broken(self.database)
        for thread in threads:
            thread.join()

    def _repeat(self, role: Callable[[Database, random.Random, str], None], i: int) -> None:
        rng = random.Random(f"{self.seed}-{i}")
        with opened(self.url) as mine:
            try:
                for _ in range(N_VERBS):
                    with contextlib.suppress(
                        WrongState, TrialNotFound
                    ):  # one is told, and nothing has changed
                        role(mine, rng, f"worker-{i}")
            except Exception as error:
                self.wrong.append(f"{role.__name__} of thread {i}: {error!r}")

    def work(self, mine: Database, rng: random.Random, worker: str) -> None:
        hand = Hand(mine, self.uuid, worker)
        if not self.hands or rng.random() < 0.3:
            claim_id = rng.choice([str(uuid4()), self.claim_ids[-1]])
            self.claim_ids.append(claim_id)
            for trial in hand.claim(rng.randint(1, 4), claim_id):
                epoch = trial.checkpoint["epoch"] if trial.checkpoint else 0
                self.hands.append((hand, trial, epoch + 1))
            return
        i = rng.randrange(len(self.hands))
        other, trial, epoch = self.hands[i]
        hand = replace(other, database=mine)
        verb = rng.choice(["report", "report", "finish", "fail", "back", "save", "renew"])
        if verb in {"report", "finish", "fail"}:
            message = epochs_of(trial, {epoch: 0.5}, float(epoch))
            if verb == "finish":
                message = ended(trial, rng.random(), epoch)
            if verb == "fail":
                end = Ending(TrialState.FAIL, failure=(FailureKind.DIVERGED, "nan"))
                message = replace(epochs_of(trial, {}), end=end)
            decision = hand.report(message)[trial.number]
            if decision.verdict in GOING_ON:
                with contextlib.suppress(IndexError):
                    self.hands[i] = (hand, trial, epoch + 1)
        elif verb == "back":
            checkpoint = rng.choice([None, {"path": "x", "epoch": epoch - 1}])
            back = HandBack(trial.number, trial.token, float(epoch), checkpoint)
            hand_back(mine, self.uuid, [back])
        elif verb == "save":
            file = {"path": f"attempt-{trial.attempt}", "epoch": rng.randint(0, epoch)}
            record_checkpoints(mine, self.uuid, {trial.token: file})
        else:
            renew_leases(mine, self.uuid, [trial.token], rng.choice([-1.0, 30.0]))

    def wish(self, mine: Database, rng: random.Random, _: str) -> None:
        verbs: list[Callable[[], Any]] = [
            lambda: pause(mine, "study"),
            lambda: stop(mine, "study"),
            lambda: enqueue(mine, "study", params={"optimizer.learning_rate": 0.5}, count=1),
            lambda: retry(mine, "study", rng.randrange(8)),
            lambda: stop_trial(mine, "study", rng.randrange(8)),
            lambda: self._raise_limit(mine),
        ]
        with contextlib.suppress(WrongState, TrialNotFound):
            rng.choice(verbs)()
        resume(mine, "study")

    def tidy(self, mine: Database, rng: random.Random, _: str) -> None:
        if rng.random() < 0.1:
            worker_lost(mine, f"worker-{rng.randrange(3)}")
        else:
            Janitor(mine, 0.0, NoBell()).tick()

    @staticmethod
    def _raise_limit(mine: Database) -> None:
        with mine.read() as tx:
            limits = studies.get_study(tx, "study").limits
        if limits["max_trials"] < 40:  # two may do so at once: the later one counts
            change_study(mine, "study", {"limits": {"max_trials": limits["max_trials"] + 1}})

    def finish(self) -> None:
        """Train what is left, with one worker that works."""
        for i in range(len(self.hands) and 6):
            worker_lost(self.database, f"worker-{i}")
        hand = Hand(self.database, self.uuid, "heir")
        for _ in range(200):
            with contextlib.suppress(WrongState):
                resume(self.database, "study")
            for trial in hand.claim(4):
                epoch = trial.checkpoint["epoch"] if trial.checkpoint else 0
                assert hand.finish(trial, 0.5, epoch + 1).verdict is Verdict.RECORDED


def broken(database: Database) -> list[str]:
    """Return every promise that does not hold in one consistent view of the study."""
    with database.read() as tx:
        study = studies.get_study(tx, "study")
        counts, sums = tallies.count(tx, study), tallies.tally(tx, study)
        found = trials.by_numbers(tx, study.study_id, trials.numbers(tx, study.study_id))
        values = trials.read_values(tx, [trial.trial_id for trial in found])
        tries = attempts.of_study(tx, study.study_id)
        ours, theirs = tables.epochs.c, tables.optuna_intermediate.c
        steps = sorted(map(tuple, tx.execute(select(ours.trial_id, ours.epoch))))
        optunas = sorted(map(tuple, tx.execute(select(theirs.trial_id, theirs.step))))
    states = Counter(trial.state for trial in found)
    complete = [
        (values[trial.trial_id][0], -trial.number)
        for trial in found
        if trial.state is TrialState.COMPLETE
    ]
    best = max(complete, default=None)
    results = {
        trial.number for trial in found if trial.state in {TrialState.COMPLETE, TrialState.PRUNED}
    }
    running = {trial.number for trial in found if trial.state is TrialState.RUNNING}
    expected = {
        "numbers": (list(range(len(found))), [trial.number for trial in found]),
        "succeeded": (Counter(results), _trials_of(tries, AttemptState.SUCCEEDED)),
        "running": (Counter(running), _trials_of(tries, AttemptState.RUNNING)),
        "attempts": (
            sorted((t.number, n + 1) for t in found for n in range(t.n_attempts)),
            sorted((a.trial_number, a.number) for a in tries),
        ),
        "steps": (
            sorted((t.trial_id, n) for t in found for n in range(1, t.epochs + 1)),
            steps,
        ),
        "Optuna's steps": (steps, optunas),
        "states": (
            tuple(states[state] for state in TrialState),
            (counts.waiting, counts.running, counts.complete, counts.pruned, counts.fail),
        ),
        "counted": (sum(trial.is_counted for trial in found), counts.counted),
        "best": (best and (-best[1], best[0]), sums.best),
    }
    wrong = [f"{what}: {a} is not {b}" for what, (a, b) in expected.items() if a != b]
    if counts.running > AT_ONCE:
        wrong.append(f"{counts.running} trials run at once")
    if counts.counted + counts.running > study.limits["max_trials"]:
        wrong.append(f"{counts} for {study.limits['max_trials']} trials")
    if study.state.has_ended and counts.running:
        wrong.append(f"{counts.running} trials run in a study that is {study.state}")
    return wrong


def _trials_of(tries: list[attempts.AttemptRecord], state: AttemptState) -> Counter[int]:
    return Counter(attempt.trial_number for attempt in tries if attempt.state is state)


def most_at_once(database: Database) -> int:
    """Return how many attempts have ever run together, by the times they were committed with."""
    with database.read() as tx:
        tries = attempts.of_study(tx, studies.get_study(tx, "study").study_id)
    ends = [(attempt.finished_at, -1) for attempt in tries if attempt.finished_at is not None]
    steps = sorted([*ends, *((attempt.started_at, 1) for attempt in tries)])
    return max((sum(step for _, step in steps[: i + 1]) for i in range(len(steps))), default=0)


@pytest.fixture
def crowd(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    monkeypatch.setattr(tallies, "FOLD_AFTER", 3)  # kept sums move forward often
    with opened(database_url) as database:
        yield Crowd(database, database_url, SEED)


def test_verbs_at_the_same_time_keep_the_promises(crowd: Crowd) -> None:
    crowd.go()
    crowd.finish()

    assert crowd.wrong == []
    assert broken(crowd.database) == []
    assert most_at_once(crowd.database) == AT_ONCE
    with crowd.database.read() as tx:
        study = studies.get_study(tx, "study")
        counts = tallies.count(tx, study)
    assert study.state is StudyState.COMPLETED
    assert counts.counted == study.limits["max_trials"]
