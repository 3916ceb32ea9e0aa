"""Fair shares of the workers: over owners, then over studies by weight, turn by turn."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hpsearch.spec.states import StudyState
from hpsearch.storage import owners, studies, workers
from hpsearch.storage.database import Database, now
from hpsearch.studies.change import change_study
from hpsearch.studies.control import pause, resume, stop
from hpsearch.studies.create import create_study
from hpsearch.studies.janitor import Janitor
from hpsearch.studies.next_study import lead, next_study
from hpsearch.studies.recover import HandBack, hand_back
from tests.studies import Hand, definition, epochs_of

FOREVER = {"max_trials": 10_000}


@dataclass
class Workplace:
    """Workers that take turns without training anything."""

    database: Database
    spent: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)

    def study(self, name: str, owner: str = "admin", **changes: object) -> None:
        create_study(
            self.database, definition(name, **{"limits": FOREVER, **changes}), owner=owner
        )

    def uuid(self, name: str) -> str:
        with self.database.read() as tx:
            return studies.get_study(tx, name).uuid

    def turn(self, lanes: dict[str, int] | None = None, seconds: int = 60) -> str:
        """Take one turn in the study that is owed most; return its name."""
        study = next_study(self.database, "cpu")
        assert study is not None
        hand = Hand(self.database, study.uuid)
        claimed = hand.claim((lanes or {}).get(study.name, 1))
        share = seconds / len(claimed)
        hand.report(*(epochs_of(trial, {1: 0.5}, share) for trial in claimed))
        backs = [HandBack(trial.number, trial.token, share) for trial in claimed]
        hand_back(self.database, study.uuid, backs)
        self.spent[study.name] += seconds
        self.order.append(study.name)
        return study.name

    def turns(self, n: int, **lanes: int) -> Counter[str]:
        """Return the device-seconds of each study over ``n`` turns."""
        before = Counter(self.spent)
        for _ in range(n):
            self.turn(lanes)
        return self.spent - before


@pytest.fixture
def place(database: Database) -> Workplace:
    return Workplace(database)


def test_equal_weights_get_equal_time_whatever_their_lanes(place: Workplace) -> None:
    place.study("narrow")
    place.study("wide")

    spent = place.turns(10, narrow=1, wide=8)

    assert spent["narrow"] / spent.total() == pytest.approx(0.5, abs=0.05)


def test_weights_divide_the_time(place: Workplace) -> None:
    place.study("one")
    place.study("three", weight=3)

    spent = place.turns(12)

    assert (spent["one"], spent["three"]) == (180, 540)


def test_owners_come_first(place: Workplace) -> None:
    place.study("a-1", owner="a")
    place.study("a-2", owner="a")
    place.study("a-3", owner="a", weight=100)
    place.study("b", owner="b", weight=0.01)

    spent = place.turns(10)

    assert spent["b"] / spent.total() == pytest.approx(0.5, abs=0.05)


def test_a_new_study_waits_for_one_turn_at_most_and_has_no_credit(place: Workplace) -> None:
    place.study("old")
    place.turns(6)
    place.study("new")

    assert "new" in {place.turn(), place.turn()}
    assert place.turns(10)["old"] == pytest.approx(300, abs=60)


def test_whoever_was_away_has_saved_nothing_up(place: Workplace) -> None:
    place.study("steady")
    place.study("paused")
    place.study("stopped")
    place.turns(3)
    pause(place.database, "paused")
    stop(place.database, "stopped")
    resume(place.database, "stopped")
    stop(place.database, "stopped")
    place.turns(6)
    resume(place.database, "paused")
    resume(place.database, "stopped")

    spent = place.turns(12)

    assert {name: seconds / 60 for name, seconds in spent.items()} == {
        "steady": pytest.approx(4, abs=1),
        "paused": pytest.approx(4, abs=1),
        "stopped": pytest.approx(4, abs=1),
    }


def test_an_owner_who_comes_back_has_saved_nothing_up(place: Workplace) -> None:
    place.study("a", owner="a")
    place.turns(6)
    place.study("b", owner="b")

    spent = place.turns(10)

    assert spent["a"] == pytest.approx(300, abs=60)


def test_a_study_that_goes_on_after_its_limit_starts_at_the_head(place: Workplace) -> None:
    place.study("short", limits={"max_trials": 4, "device_seconds": 30})
    place.study("long")
    assert place.turn() == "short"
    place.turns(6)
    view = change_study(place.database, "short", {"limits": {"device_seconds": None}})

    assert view.state is StudyState.ACTIVE
    assert place.turns(4) == {"short": 120, "long": 120}


def test_a_study_nobody_can_train_holds_nobody_up(place: Workplace) -> None:
    place.study("gpu", execution={"device": "cuda"})
    place.study("cpu")
    place.turns(3)
    with place.database.write() as tx:
        workers.touch(tx, "worker", "cpu", None, 0, now(tx))

    Janitor(place.database, 30.0, NoBell()).tick()
    place.study("new")

    assert place.turns(4) == {"cpu": 120, "new": 120}
    with place.database.read() as tx:
        assert studies.get_study(tx, "gpu").virtual_time == 180
        assert owners.virtual_times(tx) == {"admin": 420}


def test_a_lead_is_over_the_other_study_owed_most(place: Workplace) -> None:
    place.study("mine", limits={"max_trials": 1}, weight=2)
    place.study("other")
    place.study("gpu", execution={"device": "cuda"})
    place.study("theirs", owner="b")
    uuid = place.uuid("mine")

    assert lead(place.database, "cpu", uuid) == 0.0
    Hand(place.database, uuid).claim(1)  # nothing left to claim, but it could go on
    assert place.turns(3) == {"other": 120, "theirs": 60}

    # the owner has had 120 s; "mine" nothing, "other" 120 at half the weight
    assert lead(place.database, "cpu", uuid) == 60.0
    pause(place.database, "theirs")
    assert lead(place.database, "cpu", uuid) == -240.0
    pause(place.database, "other")
    assert lead(place.database, "cpu", uuid) is None


def test_several_janitors_do_the_work_of_one(database: Database) -> None:
    place, bell = Workplace(database), NoBell()
    place.study("study", execution={"lanes": 4}, limits={"max_trials": 10})
    with database.write() as tx:
        for i in range(5):
            workers.touch(tx, f"idle-{i}", "cpu", None, 0, now(tx))

    first, second = Janitor(database, 30.0, bell), Janitor(database, 30.0, bell)
    bell.while_ringing = second.tick  # the first one holds the lock
    first.tick()

    assert bell.rung == [3], "ten trials are work for three workers with four lanes"


class NoBell:
    def __init__(self) -> None:
        self.rung: list[int] = []
        self.while_ringing: Callable[[], object] = lambda: None
        self._n_calls = itertools.count()

    def ring(self, n: int, study: str) -> None:
        self.rung.append(n)
        if next(self._n_calls) == 0:
            self.while_ringing()

    def waiting(self) -> int:
        return 0
