"""A death puts suspicion on all that trained together; halving finds the one that did it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from hpsearch.spec.states import AttemptState, FailureKind, StudyState, TrialState
from hpsearch.storage.database import Database
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.control import stop
from hpsearch.studies.next_study import has_suspects
from hpsearch.studies.read import get_study, get_trial, list_trials, study_epochs
from hpsearch.studies.recover import (
    HandBack,
    expire_leases,
    hand_back,
    record_checkpoints,
    start_over,
    worker_lost,
)
from tests.studies import Hand, ended, epochs_of, stored

POISON = 37


def numbers(claimed: list[ClaimedTrial]) -> list[int]:
    return [trial.number for trial in claimed]


def play(hand: Hand, lanes: int, *, is_deadly: Callable[[ClaimedTrial], bool]) -> int:
    """Train until nothing is left, as a worker that dies of some trials; return its deaths."""
    n_deaths = 0
    for turn in count():
        assert turn < 200, "the study does not end"
        mine = replace(hand, worker=f"worker-{turn}")
        claimed = mine.claim(lanes)
        if not claimed:
            return n_deaths
        if any(map(is_deadly, claimed)):
            worker_lost(hand.database, mine.worker)
            n_deaths += 1
        else:
            mine.report(*(ended(trial, 0.5) for trial in claimed))
    raise AssertionError


def test_one_poison_trial_among_64_fails_alone_and_costs_its_neighbours_nothing(
    database: Database,
) -> None:
    hand = stored(database, limits={"max_trials": 64, "max_attempts": 3})

    n_deaths = play(hand, 64, is_deadly=lambda trial: trial.number == POISON)

    study = get_study(database, "study")
    assert (study.state, study.counts.complete) == (StudyState.COMPLETED, 63)
    poison = get_trial(database, "study", POISON)
    assert poison.failure is not None
    assert (poison.state, poison.failure.kind) == (TrialState.FAIL, FailureKind.WORKER_LOST)
    assert n_deaths == 6 + 3  # groups of 64, 32 .. 2, then three times alone


def test_two_poison_trials_are_both_found(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 16, "max_attempts": 1})

    play(hand, 8, is_deadly=lambda trial: trial.number in {3, 9})

    failed = [trial.number for trial in list_trials(database, "study", state="FAIL")[0]]
    assert failed == [3, 9]
    assert get_study(database, "study").counts.complete == 14


def test_a_death_in_company_costs_no_attempt(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 2, "max_attempts": 1})
    hand.claim(1)
    hand.claim(1)  # joins the first

    worker_lost(database, hand.worker)

    counts = get_study(database, "study").counts
    assert (counts.waiting, counts.fail) == (2, 0)


def test_suspects_run_among_themselves_in_half_the_company(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 12})
    hand.claim(8)
    worker_lost(database, hand.worker)
    assert has_suspects(database, hand.uuid)

    group = hand.claim(12)

    assert numbers(group) == [0, 1, 2, 3]
    assert hand.claim(8) == [], "nothing joins them while they are suspects"
    other = replace(hand, worker="worker-1")
    assert numbers(other.claim(12)) == [4, 5, 6, 7]
    hand.report(*(epochs_of(trial, {1: 0.5}) for trial in group[:3]))
    assert hand.claim(8) == []
    hand.report(epochs_of(group[3], {1: 0.5}))
    assert numbers(hand.claim(8)) == [8, 9, 10, 11]


def test_a_worker_in_the_middle_of_other_trials_gets_no_suspect(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 6})
    busy = replace(hand, worker="busy")
    busy.claim(1)
    hand.claim(2)
    worker_lost(database, hand.worker)

    assert numbers(busy.claim(2)) == [3, 4]
    assert numbers(hand.claim(9)) == [1], "alone: half of two"


def test_a_suspect_is_cleared_by_an_epoch_it_had_not_reached(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 2, "max_attempts": 1})
    claimed = hand.claim(2)
    hand.report(*(epochs_of(trial, {1: 0.5, 2: 0.5}) for trial in claimed))
    worker_lost(database, hand.worker)

    (again,) = hand.claim(2)
    hand.epoch(again, 1)
    hand.epoch(again, 2)
    hand_back(database, hand.uuid, [HandBack(again.number, again.token, 1.0)])
    (again,) = hand.claim(2)
    hand.report(epochs_of(again, {1: 0.5, 2: 0.5, 3: 0.5}))
    hand_back(database, hand.uuid, [HandBack(again.number, again.token, 1.0)])

    assert numbers(hand.claim(2)) == [1], "the other one alone; this one is no suspect any more"


def test_leases_of_one_pack_that_expire_one_by_one_are_one_death(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 2, "max_attempts": 1})
    first, second = hand.claim(2)
    for trial in (first, second):
        replace(hand, lease_s=-1.0).epoch(trial, 1)
        assert expire_leases(database) == 1

    assert get_study(database, "study").counts.waiting == 2
    assert get_study(database, "study").counts.fail == 0


def test_a_stopping_study_tries_its_suspects_again(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 9})
    hand.claim(4)
    worker_lost(database, hand.worker)
    stop(database, "study")

    for n in (2, 2):
        group = hand.claim(9)
        assert len(group) == n
        hand.report(*(ended(trial, 0.5) for trial in group))

    assert get_study(database, "study").state is StudyState.STOPPED


def test_a_polite_hand_back_does_not_clear_a_suspect(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 4})
    hand.claim(4)
    worker_lost(database, hand.worker)
    group = hand.claim(4)
    hand_back(database, hand.uuid, [HandBack(t.number, t.token, 0.0) for t in group])

    assert numbers(hand.claim(4)) == numbers(group)


def test_a_retry_goes_on_from_the_last_checkpoint_with_its_future_forgotten(
    database: Database,
) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    for epoch in (1, 2, 3):
        hand.epoch(trial, epoch)
    checkpoint = {"path": "a", "epoch": 2}
    assert record_checkpoints(database, hand.uuid, {trial.token: checkpoint}) == [trial.token]

    worker_lost(database, hand.worker)

    again = hand.claim(1)[0]
    assert again.checkpoint == checkpoint
    assert [view.epoch for view in study_epochs(database, "study")] == [1, 2]
    hand.epoch(again, 3, 0.75)
    assert [view.epoch for view in study_epochs(database, "study")] == [1, 2, 3]


@pytest.mark.parametrize("epoch", [1, 3])
def test_checkpoints_that_are_older_or_ahead_of_the_curve_are_not_recorded(
    database: Database, epoch: int
) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    hand.report(epochs_of(trial, {1: 0.5, 2: 0.5}))
    record_checkpoints(database, hand.uuid, {trial.token: {"path": "a", "epoch": 2}})

    wrong = {"path": "b", "epoch": epoch}
    assert record_checkpoints(database, hand.uuid, {trial.token: wrong}) == []
    assert hand_back(database, hand.uuid, [HandBack(0, trial.token, 1.0, wrong)]) == []

    assert hand.claim(1)[0].checkpoint == {"path": "a", "epoch": 2}


def test_a_trial_whose_checkpoint_is_lost_starts_over_without_a_double_step(
    database: Database,
) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    hand.report(epochs_of(trial, {1: 0.5, 2: 0.6}))
    hand_back(database, hand.uuid, [HandBack(0, trial.token, 1.0, {"path": "a", "epoch": 2})])
    again = hand.claim(1)[0]

    start_over(database, hand.uuid, trial.token)  # by the one that has lost it: nothing
    assert len(study_epochs(database, "study")) == 2
    start_over(database, hand.uuid, again.token)

    assert study_epochs(database, "study") == []
    hand.report(epochs_of(again, {1: 0.1, 2: 0.2, 3: 0.3}))
    values = [view.metrics["val_accuracy"] for view in study_epochs(database, "study")]
    assert values == [0.1, 0.2, 0.3]


def test_a_report_that_would_leave_a_hole_is_fenced(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    hand.epoch(trial, 1)

    assert hand.epoch(trial, 3).verdict == "fenced"

    assert [view.epoch for view in study_epochs(database, "study")] == [1]
    assert get_trial(database, "study", 0).attempts[0].state is AttemptState.RUNNING
