"""The events of a study: each at least once, in order, wherever the listener left off."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from hpsearch.errors import StudyNotFound
from hpsearch.spec.events import Event, EventKind
from hpsearch.spec.states import StudyState, TrialState
from hpsearch.storage.database import Database
from hpsearch.studies import events
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.control import cancel, delete_study, pause, resume, stop
from hpsearch.studies.events import AllEventsReader, Batch, EventReader
from hpsearch.studies.read import get_study, list_trials, study_epochs
from hpsearch.studies.recover import HandBack, hand_back, worker_lost
from tests.studies import Hand, stored


@dataclass
class Listener:
    """What somebody knows who has heard the events."""

    last_id: int | None = None
    curves: dict[int, dict[int, float]] = field(default_factory=dict)
    finished: dict[int, TrialState] = field(default_factory=dict)
    started: set[int] = field(default_factory=set)
    study: StudyState | None = None
    ids: list[int] = field(default_factory=list)

    def hear(self, told: Iterable[Event]) -> None:
        for event in told:
            data, self.last_id = event.data, event.id
            self.ids.append(event.id)
            if event.kind is EventKind.STUDY:
                self.study = data["state"]
            elif event.kind is EventKind.TRIAL_STARTED:
                self.started.add(data["number"])
            elif event.kind is EventKind.EPOCH:
                assert data["number"] in self.started, "an epoch of a trial nobody started"
                curve = self.curves.setdefault(data["number"], {})
                curve[data["epoch"]] = data["metrics"]["val_accuracy"]
            elif event.kind is EventKind.TRIAL_REWOUND:
                curve = self.curves.get(data["number"], {})
                self.curves[data["number"]] = {
                    epoch: value for epoch, value in curve.items() if epoch <= data["epoch"]
                }
            else:
                self.finished[data["number"]] = data["state"]


def kinds(batch: Batch) -> list[str]:
    return [event.kind.value for event in batch.events]


def stored_curves(database: Database) -> dict[int, dict[int, float]]:
    curves: dict[int, dict[int, float]] = {}
    for view in study_epochs(database, "study"):
        curves.setdefault(view.number, {})[view.epoch] = view.metrics["val_accuracy"]
    return curves


def test_the_story_of_a_trial_is_told_in_order(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 1})
    reader = EventReader(database, "study", None)
    assert kinds(reader.read()) == ["study"]
    assert kinds(reader.read()) == []
    trial = hand.claim(1)[0]
    hand.epoch(trial, 1, 0.25)
    batch = reader.read()
    assert kinds(batch)[:2] == ["trial_started", "epoch"]
    started, epoch = batch.events[:2]
    assert started.data["attempt"] == 1
    assert started.data["worker"] == "worker-0"
    assert set(started.data["params"]) == {"model.hidden_units[0]", "optimizer.learning_rate"}
    assert epoch.data["metrics"]["val_accuracy"] == 0.25
    hand.finish(trial, 0.75, epoch=2)
    batch = reader.read()
    assert kinds(batch) == ["epoch", "trial_finished", "study"]
    assert batch.is_over
    assert batch.events[1].data["values"] == {"val_accuracy": 0.75}
    assert batch.events[2].data["state"] is StudyState.COMPLETED
    assert "definition" not in batch.events[2].data


def test_a_study_that_has_ended_is_told_once(database: Database) -> None:
    stored(database)
    stop(database, "study")
    batch = EventReader(database, "study", None).read()
    assert (kinds(batch), batch.is_over) == (["study"], True)


def test_everything_can_be_read_from_the_start_in_small_chunks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CHUNK_ROWS", 3)
    hand = stored(database, limits={"max_trials": 5})
    for trial in hand.claim(5):
        for epoch in range(1, 4):
            hand.epoch(trial, epoch, trial.number / 10 + epoch / 100)
        hand.finish(trial, 0.5, epoch=4)
    reader, listener, n_reads = EventReader(database, "study", 0), Listener(), 0
    is_over = False
    while not is_over:
        batch = reader.read()
        is_over, n_reads = batch.is_over, n_reads + 1
        listener.hear(batch.events)
    assert n_reads > 3
    assert listener.curves == stored_curves(database)
    assert listener.finished == dict.fromkeys(range(5), TrialState.COMPLETE)
    assert listener.ids == sorted(listener.ids)


def test_epochs_that_a_lost_worker_took_along_are_taken_back(database: Database) -> None:
    hand = stored(database)
    trial = hand.claim(1)[0]
    hand.epoch(trial, 1)
    hand.epoch(trial, 2)
    reader = EventReader(database, "study", 0)
    reader.read()
    worker_lost(database, "worker-0")
    rewound = reader.read().events[0]
    assert (rewound.kind, rewound.data) == (
        EventKind.TRIAL_REWOUND,
        {"number": 0, "epoch": 0},
    )
    again = hand.claim(1)[0]
    hand.epoch(again, 1)
    batch = reader.read()
    assert kinds(batch)[:2] == ["trial_started", "epoch"]
    assert batch.events[0].data["attempt"] == 2


def test_an_id_of_a_study_that_was_deleted_begins_the_new_one_from_its_start(
    database: Database,
) -> None:
    hand = stored(database)
    hand.finish(hand.claim(1)[0])
    reader = EventReader(database, "study", 10_000)
    assert "trial_finished" in kinds(reader.read())
    cancel(database, "study")
    delete_study(database, "study")
    stored(database)
    batch = reader.read()
    assert (kinds(batch), batch.is_over) == ([], True)
    with pytest.raises(StudyNotFound):
        EventReader(database, "other", None).read()


@pytest.mark.parametrize("seed", range(3))
def test_a_listener_who_is_cut_off_again_and_again_misses_nothing(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    hand = stored(database, limits={"max_trials": 12, "max_attempts": 9})
    listener = Listener(last_id=0)
    live: dict[int, tuple[ClaimedTrial, int]] = {}
    reader = EventReader(database, "study", 0)
    for _ in range(80):
        _something_happens(database, hand, live, chance)
        if chance.random() < 0.4:
            told = reader.read().events
            if chance.random() < 0.5:  # the line breaks somewhere
                told = told[: chance.randrange(len(told) + 1)]
                listener.hear(told)
                reader = EventReader(database, "study", listener.last_id)
            else:
                listener.hear(told)
    cancel(database, "study")
    listener.hear(reader.read().events)
    assert {n: c for n, c in listener.curves.items() if c} == stored_curves(database)
    trials, _ = list_trials(database, "study", limit=100)
    assert listener.finished == {t.number: t.state for t in trials if t.state.has_finished}
    assert listener.study is get_study(database, "study").state


def _something_happens(
    database: Database,
    hand: Hand,
    live: dict[int, tuple[ClaimedTrial, int]],
    chance: random.Random,
) -> None:
    what = chance.random()
    if what < 0.2 or not live:
        for trial in hand.claim(chance.randint(1, 3)):
            known = [v.epoch for v in study_epochs(database, "study", numbers=[trial.number])]
            live[trial.number] = trial, max(known, default=0)
    elif what < 0.7:
        number = chance.choice(sorted(live))
        trial, epoch = live[number]
        hand.epoch(trial, epoch + 1, chance.random())
        live[number] = trial, epoch + 1
    elif what < 0.8:
        number = chance.choice(sorted(live))
        trial, epoch = live.pop(number)
        hand.finish(trial, chance.random(), epoch + 1)
    elif what < 0.9:
        number = chance.choice(sorted(live))
        trial, epoch = live.pop(number)
        kept = {"path": "x", "epoch": chance.randint(0, epoch)} if epoch else None
        hand_back(database, hand.uuid, [HandBack(number, trial.token, 1.0, kept)])
    elif what < 0.95:
        worker_lost(database, hand.worker)
        live.clear()
    else:
        pause(database, "study")
        resume(database, "study")


def test_all_studies_are_heard_and_a_listener_can_come_back(database: Database) -> None:
    hand = stored(database, "one")
    reader = AllEventsReader(database, None)
    first = reader.read()
    assert [(e.kind.value, e.study) for e in first.events] == [("study", "one")]
    other = stored(database, "two")
    trial, rival = hand.claim(1)[0], other.claim(1)[0]
    hand.epoch(trial, 1, 0.1)
    other.finish(rival, 0.9)
    batch = reader.read()
    told = {(e.kind.value, e.study) for e in batch.events}
    assert {("epoch", "one"), ("trial_finished", "two"), ("study", "two")} <= told
    place = batch.events[-1].id
    assert place > first.events[-1].id
    stop(database, "two")
    hand.epoch(trial, 2, 0.2)
    back = AllEventsReader(database, place).read()
    told = {(e.kind.value, e.study) for e in back.events}
    assert {("epoch", "one"), ("study", "two")} <= told
    quiet = AllEventsReader(database, None).read()
    assert [e.study for e in quiet.events] == ["one"] or len(quiet.events) == 2
