"""PATCH: limits, weight, description and tags of studies in every state."""

import pytest

from hpsearch.errors import RequestInvalid, StudyNotFound
from hpsearch.spec.states import StudyState, TrialState
from hpsearch.storage.database import Database
from hpsearch.studies.change import change_study
from hpsearch.studies.control import cancel, pause, resume, stop
from hpsearch.studies.janitor import Janitor
from hpsearch.studies.read import get_study, get_trial
from hpsearch.studies.recover import HandBack, hand_back
from hpsearch.studies.report import Verdict
from tests.studies import Hand, epochs_of, stored
from tests.studies import ended as end_of


def limits(**values: object) -> dict[str, object]:
    return {"limits": values}


def play(hand: Hand, n: int) -> None:
    for trial in hand.claim(n):
        hand.finish(trial)


def test_a_patch_changes_what_it_names_and_keeps_the_rest(database: Database) -> None:
    stored(database, limits={"max_trials": 4, "timeout_s": 60}, tags=["old"])

    patch = {**limits(max_trials=9, timeout_s=None), "weight": 2, "description": "d", "tags": []}
    view = change_study(database, "study", patch)

    assert view == get_study(database, "study")
    assert (view.weight, view.description, view.tags) == (2.0, "d", ())
    assert view.definition["limits"]["max_trials"] == 9
    assert view.definition["limits"]["timeout_s"] is None
    assert view.definition["limits"]["max_attempts"] == 3
    assert view.definition["optimizer"]["name"] == "sgd"


def test_all_mistakes_of_a_patch_are_named_and_nothing_changes(database: Database) -> None:
    stored(database)
    before = get_study(database, "study")

    wrong = {**limits(max_trials=0, nope=1), "model": {}, "weight": 1000}
    with pytest.raises(RequestInvalid) as caught:
        change_study(database, "study", wrong)

    places = {error.loc for error in caught.value.errors}
    assert places == {("limits", "max_trials"), ("limits", "nope"), ("model",), ("weight",)}
    assert get_study(database, "study") == before


def test_the_last_limit_cannot_be_removed(database: Database) -> None:
    stored(database)
    with pytest.raises(RequestInvalid, match="never ends"):
        change_study(database, "study", limits(max_trials=None))
    with pytest.raises(StudyNotFound):
        change_study(database, "other", {})


def test_raising_a_limit_of_a_completed_study_lets_it_go_on(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 2})
    play(hand, 2)
    assert get_study(database, "study").state is StudyState.COMPLETED

    assert change_study(database, "study", {"description": "d"}).state is StudyState.COMPLETED
    view = change_study(database, "study", limits(max_trials=3))

    assert (view.state, view.state_reason, view.finished_at) == (StudyState.ACTIVE, None, None)
    play(hand, 5)
    study = get_study(database, "study")
    assert (study.state, study.counts.complete) == (StudyState.COMPLETED, 3)


def test_a_study_that_reached_its_target_ends_again_at_once(database: Database) -> None:
    target = [{"metric": "val_accuracy", "target_value": 0.9}]
    hand = stored(database, objectives=target, limits={"max_trials": 4})
    hand.finish(hand.claim(1)[0], 0.95)

    view = change_study(database, "study", limits(max_trials=9))

    assert (view.state, view.state_reason) == (StudyState.COMPLETED, "TARGET_REACHED")


def test_raising_the_limit_of_failures_lets_a_failed_study_go_on(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 4, "trial_timeout_s": 1e-9})
    change_study(database, "study", limits(max_failed_trials=1))
    hand.epoch(hand.claim(1)[0], 1)
    assert get_study(database, "study").state is StudyState.FAILED

    view = change_study(database, "study", limits(max_failed_trials=2))

    assert view.state is StudyState.ACTIVE


@pytest.mark.parametrize("end", [stop, cancel])
def test_what_a_user_has_ended_stays_so(database: Database, end: object) -> None:
    stored(database)
    state = end(database, "study").state  # type: ignore[operator]  # one of two verbs
    assert change_study(database, "study", limits(max_trials=99)).state is state


def test_raising_the_limit_while_the_last_ones_finish_keeps_the_study_active(
    database: Database,
) -> None:
    hand = stored(database, limits={"max_trials": 5, "device_seconds": 1})
    first, second = hand.claim(2)
    hand.report(end_of(first, 0.5, device_seconds=2))
    assert get_study(database, "study").state is StudyState.STOPPING

    assert change_study(database, "study", limits(device_seconds=50)).state is StudyState.ACTIVE

    hand.finish(second)
    assert len(hand.claim(9)) == 3


def test_a_lowered_limit_sends_what_is_too_much_back_and_ends_exactly(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 6})
    claimed = hand.claim(4)
    hand.finish(claimed[0])
    change_study(database, "study", limits(max_trials=2))

    reports = [epochs_of(trial, {1: 0.5}) for trial in claimed[1:]]
    verdicts = [hand.report(*reports)[number].verdict for number in (1, 2, 3)]

    assert verdicts == [Verdict.CONTINUE, Verdict.HAND_BACK, Verdict.HAND_BACK]
    hand_back(database, hand.uuid, [HandBack(t.number, t.token, 1.0) for t in claimed[1:]])
    (again,) = hand.claim(4)
    hand.finish(again)
    study = get_study(database, "study")
    assert (study.state, study.progress.finished) == (StudyState.COMPLETED, 2)
    assert study.counts.waiting == 2

    change_study(database, "study", limits(max_trials=4))
    assert [trial.number for trial in hand.claim(4)] == [2, 3]


def test_fewer_at_once_are_fewer_by_the_end_of_the_epoch(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 6})
    one, two = hand.claim(2)
    change_study(database, "study", limits(max_concurrent_trials=1))

    decisions = hand.report(epochs_of(one, {1: 0.5}), epochs_of(two, {1: 0.5}))

    assert decisions[0].verdict is Verdict.CONTINUE
    assert decisions[1].verdict is Verdict.HAND_BACK


def test_a_timeout_set_on_a_paused_study_counts_active_time_alone(database: Database) -> None:
    stored(database, limits={"max_trials": 4})
    pause(database, "study")
    change_study(database, "study", limits(timeout_s=3600))
    Janitor(database, 30.0, NoBell()).tick()

    assert get_study(database, "study").state is StudyState.PAUSED
    assert resume(database, "study").state is StudyState.ACTIVE


def test_a_trial_that_hangs_is_failed_without_a_word_from_it(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 1})
    trial = hand.claim(1)[0]
    change_study(database, "study", limits(trial_timeout_s=1e-6))

    Janitor(database, 30.0, NoBell()).tick()

    view = get_trial(database, "study", 0)
    assert view.failure is not None
    assert (view.state, view.failure.kind) == (TrialState.FAIL, "timeout")
    assert get_study(database, "study").state is StudyState.COMPLETED
    assert hand.epoch(trial, 1).verdict is Verdict.RECORDED  # which drops the lane
    assert get_trial(database, "study", 0).epochs == 0


class NoBell:
    def ring(self, n: int, study: str) -> None: ...

    def waiting(self) -> int:
        return 0
