from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import TypeVar
from uuid import uuid4

from hpsearch.spec.states import AttemptState, StudyState, TrialState
from hpsearch.storage import workers
from hpsearch.storage.database import Database, now
from hpsearch.storage.history import History
from hpsearch.studies.claim import Claimant, record_params, reserve, sample
from hpsearch.studies.compiled import compiled
from hpsearch.studies.control import pause, stop
from hpsearch.studies.read import get_study, get_trial, list_trials
from tests.studies import Hand, stored

T = TypeVar("T")


def at_once(n: int, call: Callable[[int], list[T]]) -> list[T]:
    with ThreadPoolExecutor(n) as pool:
        return list(chain.from_iterable(pool.map(call, range(n))))


def test_many_workers_at_once_get_exactly_max_trials(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 20})

    def work(i: int) -> list[int]:
        mine = replace(hand, worker=f"worker-{i}")
        return [trial.number for _ in range(4) for trial in mine.claim(2)]

    numbers = at_once(8, work)

    assert sorted(numbers) == list(range(20))
    assert get_study(database, "study").counts.running == 20


def test_concurrent_trials_never_exceed_their_limit(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 20, "max_concurrent_trials": 3})

    claimed = at_once(6, lambda _: hand.claim(2))

    assert len(claimed) == 3
    hand.finish(claimed[0])
    assert len(hand.claim(5)) == 1


def test_a_claim_repeated_with_its_id_returns_the_same_trials(database: Database) -> None:
    hand = stored(database)
    claim_id = str(uuid4())

    first, again = hand.claim(2, claim_id), hand.claim(2, claim_id)

    assert again == first
    assert get_study(database, "study").counts.running == 2


def test_a_claim_cut_off_before_its_parameters_is_completed_by_its_repetition(
    database: Database,
) -> None:
    hand = stored(database)
    claim_id = str(uuid4())
    reserve(database, hand.uuid, 2, claim_id, Claimant("worker-0", "cpu", "exact", 30))
    assert get_trial(database, "study", 0).params == {}

    trials = hand.claim(2, claim_id)

    assert [trial.number for trial in trials] == [0, 1]
    assert set(get_trial(database, "study", 0).params) == {
        "model.hidden_units[0]",
        "optimizer.learning_rate",
    }


def test_parameters_of_a_lost_lease_are_not_written(database: Database) -> None:
    hand = stored(database)
    claimant = Claimant("worker-0", "cpu", "exact", 30)
    study, reserved = reserve(database, hand.uuid, 1, str(uuid4()), claimant)
    assert study is not None
    points = sample(database, compiled(study), reserved, History(study.study_id))
    stale = [replace(reserved[0], token="0" * 32)]

    accepted = record_params(database, study, compiled(study), stale, points)

    assert accepted == (set(), set())
    assert get_trial(database, "study", 0).params == {}


def test_a_paused_study_gives_nothing(database: Database) -> None:
    hand = stored(database)
    pause(database, "study")
    assert hand.claim(1) == []


def test_a_stopping_study_gives_only_trials_that_have_begun(database: Database) -> None:
    hand = stored(database)
    running = hand.claim(2)
    stop(database, "study")

    assert hand.claim(4) == []
    assert get_study(database, "study").state is StudyState.STOPPING
    for trial in running:
        hand.finish(trial)
    assert get_study(database, "study").state is StudyState.STOPPED


def test_a_worker_leaves_their_share_to_workers_that_are_free(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 8})
    with database.write() as tx:
        for i in range(3):
            workers.touch(tx, f"idle-{i}", "cpu", None, 0, now(tx))

    assert len(hand.claim(8)) == 2


def test_a_random_study_draws_the_same_points_whoever_claims(database: Database) -> None:
    one = stored(database, "one", limits={"max_trials": 6})
    two = stored(database, "two", limits={"max_trials": 6})

    one.claim(6)
    for i in range(3):
        replace(two, worker=f"worker-{i}").claim(2)

    points = [
        [trial.params for trial in list_trials(database, name)[0]] for name in ("one", "two")
    ]
    assert points[0] == points[1]
    assert len({str(point) for point in points[0]}) == 6


def test_attempts_show_who_trains_what(database: Database) -> None:
    stored(database).claim(1)

    trial = get_trial(database, "study", 0)

    assert trial.state is TrialState.RUNNING
    assert [(a.number, a.state, a.worker, a.device) for a in trial.attempts] == [
        (1, AttemptState.RUNNING, "worker-0", "cpu")
    ]
    assert trial.config is not None
    assert trial.config["training"]["epochs"] == 5


def test_a_claim_on_a_deleted_study_finds_nothing(database: Database) -> None:
    assert Hand(database, str(uuid4())).claim(3) == []
