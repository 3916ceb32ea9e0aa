import time
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from hpsearch.spec.states import AttemptState, FailureKind, StudyState, TrialState
from hpsearch.storage import attempts
from hpsearch.storage import database as storage_database
from hpsearch.storage.database import Database, now
from hpsearch.studies.control import stop
from hpsearch.studies.janitor import Janitor
from hpsearch.studies.read import get_study, get_trial, study_epochs
from hpsearch.studies.recover import (
    HandBack,
    expire_leases,
    hand_back,
    renew_leases,
    set_leases_back,
    worker_lost,
)
from hpsearch.studies.report import Verdict
from tests.services.waiting import eventually
from tests.studies import stored


class SilentBell:
    def __init__(self) -> None:
        self.rung: list[tuple[int, str]] = []

    def ring(self, n: int, study: str) -> None:
        self.rung.append((n, study))

    def waiting(self) -> int:
        return 0


def test_a_lost_worker_costs_an_attempt_and_not_a_trial(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    hand.epoch(trial, 1)

    assert worker_lost(database, "worker-0") == 1

    view = get_trial(database, "study", 0)
    assert view.state is TrialState.WAITING
    assert view.attempts[0].state is AttemptState.LOST
    assert study_epochs(database, "study") == []
    again = hand.claim(1)[0]
    assert (again.number, again.attempt, again.config) == (0, 2, trial.config)


def test_a_late_report_of_a_lost_worker_changes_nothing(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    worker_lost(database, "worker-0")

    assert hand.epoch(trial, 1).verdict is Verdict.FENCED
    again = replace(hand, worker="worker-1").claim(1)[0]
    assert hand.finish(trial, 0.9).verdict is Verdict.FENCED

    assert study_epochs(database, "study") == []
    assert hand.finish(again, 0.3).verdict is Verdict.RECORDED
    assert get_trial(database, "study", 0).values == {"val_accuracy": 0.3}


def test_a_trial_that_loses_its_worker_too_often_fails_and_counts(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 1, "max_attempts": 2})
    for _ in range(2):
        hand.claim(1)
        worker_lost(database, "worker-0")

    view = get_trial(database, "study", 0)
    assert view.failure is not None
    assert view.failure.kind is FailureKind.WORKER_LOST
    assert get_study(database, "study").state is StudyState.COMPLETED


def test_only_expired_leases_are_taken_back(database: Database) -> None:
    hand = stored(database)
    replace(hand, lease_s=-1.0).claim(1)
    hand.claim(1)

    assert expire_leases(database) == 1
    assert expire_leases(database) == 0

    states = [get_trial(database, "study", number).state for number in range(2)]
    assert states == [TrialState.WAITING, TrialState.RUNNING]


def test_a_renewed_lease_does_not_expire(database: Database) -> None:
    hand = replace(stored(database), lease_s=-1.0)
    trial = hand.claim(1)[0]

    assert renew_leases(database, hand.uuid, [trial.token], 30.0) == 1

    assert expire_leases(database) == 0


def test_a_polite_hand_back_costs_nothing_and_keeps_what_its_checkpoint_covers(
    database: Database,
) -> None:
    hand = stored(database, limits={"max_trials": 1, "max_attempts": 1})
    trial = hand.claim(1)[0]
    for epoch in (1, 2, 3):
        hand.epoch(trial, epoch)
    checkpoint = {"path": "study/0/attempt-1.safetensors", "epoch": 2}

    hand_back(database, hand.uuid, [HandBack(0, trial.token, 7.0, checkpoint)])

    view = get_trial(database, "study", 0)
    assert view.state is TrialState.WAITING
    assert (view.attempts[0].state, view.attempts[0].device_seconds) == (
        AttemptState.PREEMPTED,
        7.0,
    )
    assert [v.epoch for v in study_epochs(database, "study")] == [1, 2]
    assert hand.claim(1)[0].checkpoint == checkpoint


def test_a_stopping_study_runs_a_lost_trial_again_before_it_ends(database: Database) -> None:
    hand = stored(database)
    hand.claim(1)
    stop(database, "study")
    worker_lost(database, "worker-0")
    assert get_study(database, "study").state is StudyState.STOPPING

    (again,) = hand.claim(3)
    hand.finish(again)

    assert get_study(database, "study").state is StudyState.STOPPED


def test_the_janitor_expires_nothing_before_it_has_had_the_database_for_a_lease(
    database: Database,
) -> None:
    replace(stored(database), lease_s=-1.0).claim(1)

    assert Janitor(database, 3600.0, SilentBell()).tick().n_expired == 0
    assert Janitor(database, 0.0, SilentBell()).tick().n_expired == 1


class WallClock:
    """The clock of the database's machine, which somebody sets."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.set_by_s = 0.0
        true_clock = storage_database.clock
        patch.setattr(
            storage_database, "clock", lambda tx: true_clock(tx) + timedelta(seconds=self.set_by_s)
        )


LEASE_S = 0.6  # long enough for a few statements, short enough to wait for


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_expires_no_lease_of_the_living_and_all_of_the_dead(
    database: Database, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    clock = WallClock(monkeypatch)
    janitor = Janitor(database, LEASE_S, SilentBell())
    hand = replace(stored(database), lease_s=LEASE_S)
    dead = replace(hand, worker="dead", lease_s=10.0).claim(1)[0]
    living = hand.claim(1)[0]

    def tick() -> int:
        assert renew_leases(database, hand.uuid, [living.token], 10.0) == 1
        return janitor.tick().n_expired

    began = time.monotonic()
    eventually(lambda: tick() == 0 and time.monotonic() - began > LEASE_S, "it may expire leases")
    clock.set_by_s = step_s
    assert janitor.tick().n_expired == 0, "the living have not renewed their leases yet"
    if step_s < 0:
        assert set_leases_back(database, -step_s) == 0, "they were moved along with the clock"
        with database.read() as tx:
            record = attempts.by_tokens(tx, 1, [dead.token])[dead.token]
            assert record.lease_expires_at < now(tx) + timedelta(seconds=11)
        clock.set_by_s += 10.0  # what was left of the lease of the dead
        janitor.tick()
    eventually(lambda: tick() == 1, "the lease of the dead expires")

    assert hand.epoch(living, 1).verdict is Verdict.CONTINUE
    assert get_trial(database, "study", dead.number).attempts[0].state is AttemptState.LOST


def test_the_janitor_ends_a_study_whose_time_is_over_without_anyone_asking(
    database: Database,
) -> None:
    stored(database, limits={"timeout_s": 1e-6})

    Janitor(database, 30.0, SilentBell()).tick()

    study = get_study(database, "study")
    assert (study.state, study.state_reason) == (StudyState.COMPLETED, "TIMEOUT")


def test_a_claim_whose_answer_was_lost_goes_back_without_a_loss(database: Database) -> None:
    hand = stored(database)
    other = hand.claim(1)[0]
    unheard = hand.claim(2, claim_id := str(uuid4()))

    assert hand_back(database, hand.uuid, [], claim_id) == []

    for trial in unheard:
        view = get_trial(database, "study", trial.number)
        assert view.state is TrialState.WAITING
        assert [attempt.state for attempt in view.attempts] == [AttemptState.PREEMPTED]
        assert hand.epoch(trial, 1).verdict is Verdict.FENCED
    assert get_trial(database, "study", other.number).state is TrialState.RUNNING
