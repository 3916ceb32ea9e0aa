from dataclasses import replace
from uuid import uuid4

from hpsearch.spec.states import AttemptState, FailureKind, StudyState, TrialState
from hpsearch.storage.database import Database
from hpsearch.studies.control import stop
from hpsearch.studies.janitor import Janitor
from hpsearch.studies.read import get_study, get_trial, study_epochs
from hpsearch.studies.recover import (
    HandBack,
    expire_leases,
    hand_back,
    renew_leases,
    worker_lost,
)
from hpsearch.studies.report import Verdict
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
