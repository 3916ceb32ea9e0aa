"""What lies between turns: checkpoints, states kept in memory, fair shares, trials told to end."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hpsearch.spec.states import AttemptState, StudyState, TrialState
from hpsearch.storage import studies, trials
from hpsearch.storage.database import Database
from hpsearch.studies.change import change_study
from hpsearch.studies.control import delete_study, pause
from hpsearch.studies.read import get_study, get_trial, list_trials, study_epochs
from hpsearch.studies.recover import hand_back, worker_lost
from hpsearch.studies.stop_trial import stop_trial
from hpsearch.training.lanes import LaneSpec
from hpsearch.turn import TurnRunner
from tests.studies import opened, past_preflight, stored

STUDY: dict[str, Any] = {
    "dataset": {"name": "digits", "train_fraction": 0.1},
    "model": {"family": "mlp", "hidden_units": {"low": 8, "high": 32}},
    "optimizer": {"name": "adam", "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
    "training": {"epochs": 12, "batch_size": 32},
    "limits": {"max_trials": 3},
    "execution": {"lanes": 3},
}
ENDLESS = {**STUDY, "training": {"epochs": 100_000, "batch_size": 32}}


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    with opened(sqlite_url) as database:
        yield database


@pytest.fixture
def make_runner(database: Database, tmp_path: Path) -> Callable[..., TurnRunner]:
    def make(**changes: Any) -> TurnRunner:
        return TurnRunner(
            database,
            **{
                "worker": "worker-0",
                "device": "cpu",
                "datasets_dir": tmp_path / "datasets",
                "artifacts_dir": tmp_path / "artifacts",
                "lease_s": 30.0,
                "turn_s": 60.0,
                "checkpoint_s": 1e-6,
                **changes,
            },
        )

    return make


def never() -> bool:
    return False


def once(is_time: Callable[[], bool], act: Callable[[], object]) -> Callable[[], bool]:
    """Return a question that acts once it is time; the answer is no."""
    done: list[object] = []

    def question() -> bool:
        if not done and is_time():
            done.append(act())
        return False

    return question


def killed_when(is_time: Callable[[], bool]) -> Callable[[], bool]:
    def kill() -> None:
        raise KilledError

    return once(is_time, kill)


def has_epochs(database: Database, n: int, name: str = "study") -> Callable[[], bool]:
    return lambda: len(study_epochs(database, name)) >= n


def has_checkpoint(database: Database, name: str) -> bool:
    with database.read() as tx:
        found = trials.by_numbers(tx, studies.get_study(tx, name).study_id, range(3))
    return any(trial.checkpoint for trial in found)


def results(database: Database, name: str) -> list[Any]:
    curves = {
        (view.number, view.epoch): {k: v for k, v in view.metrics.items() if k != "seconds"}
        for view in study_epochs(database, name)
    }
    return [
        [(t.number, t.params, t.values, t.test) for t in list_trials(database, name)[0]],
        curves,
    ]


def test_a_killed_trainer_costs_no_more_than_the_epochs_since_the_last_checkpoint(
    database: Database, make_runner: Callable[..., TurnRunner], tmp_path: Path
) -> None:
    stored(database, "undisturbed", **STUDY)
    make_runner().run(None, never)
    stored(database, "killed", **STUDY)
    with pytest.raises(KilledError):
        make_runner().run(None, killed_when(lambda: has_checkpoint(database, "killed")))
    worker_lost(database, "worker-0")
    kept = len(study_epochs(database, "killed"))

    runner = make_runner(worker="worker-1")
    while get_study(database, "killed").state is StudyState.ACTIVE:
        runner.run(None, never)

    assert kept > 0, "something was resumed"
    assert results(database, "killed") == results(database, "undisturbed")
    assert not any(tmp_path.glob("artifacts/*/*/attempt-*")), "checkpoints go with their trial"


def test_a_trial_whose_file_is_gone_starts_over_and_ends_the_same(
    database: Database, make_runner: Callable[..., TurnRunner], tmp_path: Path
) -> None:
    stored(database, "undisturbed", **STUDY)
    make_runner().run(None, never)
    stored(database, "study", **STUDY)
    asked = itertools.count()
    make_runner().run(None, lambda: has_epochs(database, 6)() and next(asked) >= 0)
    first, *others = sorted(tmp_path.glob("artifacts/*/*/attempt-*"))
    first.unlink()
    others[0].write_bytes(b"damaged")

    make_runner(worker="worker-1").run(None, never)

    assert results(database, "study") == results(database, "undisturbed")


def test_a_later_turn_of_the_same_trainer_reads_no_files(
    database: Database, make_runner: Callable[..., TurnRunner], tmp_path: Path
) -> None:
    stored(database, **STUDY)
    runner = make_runner()
    runner.run(None, has_epochs(database, 4))
    assert get_study(database, "study").counts.waiting > 0
    for path in tmp_path.glob("artifacts/*/*/attempt-*"):
        path.unlink()

    runner.run(None, never)

    assert get_study(database, "study").counts.complete == 3
    states = [a.state for a in get_trial(database, "study", 0).attempts]
    assert states == [AttemptState.PREEMPTED, AttemptState.SUCCEEDED]
    assert [view.epoch for view in study_epochs(database, "study")] == [*range(1, 13)] * 3


@dataclass
class Clock:
    """Time that passes by questions alone: what else the machine does makes no difference."""

    now: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def monotonic(self) -> float:
        return self.now

    def question(self) -> bool:
        self.now += self.chance.uniform(0.02, 0.1)
        return False

    @staticmethod
    def sleep(_: float) -> None:
        raise AssertionError("nothing is waited for")


@pytest.mark.parametrize(
    ("lanes", "weights"), [((1, 8), (1, 1)), ((8, 3), (1, 1)), ((1, 8), (1, 3))]
)
def test_two_studies_share_a_worker_by_weight_whatever_their_lanes(
    database: Database,
    make_runner: Callable[..., TurnRunner],
    monkeypatch: pytest.MonkeyPatch,
    lanes: tuple[int, int],
    weights: tuple[int, int],
) -> None:
    clock = Clock()
    monkeypatch.setattr("hpsearch.session.run.time", clock)
    monkeypatch.setattr("hpsearch.training.run.time", clock)
    for name, n, weight in zip(("one", "other"), lanes, weights, strict=True):
        limits = {"max_trials": 100}
        changes = {**ENDLESS, "execution": {"lanes": n}, "limits": limits, "weight": weight}
        stored(database, name, **changes)
        past_preflight(database, name)
    runner = make_runner(turn_s=2.0, checkpoint_s=60.0)

    turns = [runner.run(None, clock.question).study for _ in range(10)]

    spent = [get_study(database, name).usage.device_seconds for name in ("one", "other")]
    assert set(turns) == {"one", "other"}
    fair = weights[0] / sum(weights)
    assert spent[0] / sum(spent) == pytest.approx(fair, abs=0.03)


def test_a_new_study_waits_one_turn_for_one_of_ten_thousand_trials(
    database: Database, make_runner: Callable[..., TurnRunner]
) -> None:
    stored(database, "huge", **{**ENDLESS, "limits": {"max_trials": 10_000}})
    runner = make_runner(turn_s=0.3)
    is_time = has_epochs(database, 1, "huge")

    first = runner.run(None, once(is_time, lambda: stored(database, "new", **STUDY)))
    second = runner.run(None, never)

    assert (first.study, second.study) == ("huge", "new")
    assert get_study(database, "new").counts.complete > 0
    assert get_study(database, "huge").counts.running == 0


def test_a_study_deleted_while_its_lanes_are_saved_leaves_no_files(
    database: Database,
    make_runner: Callable[..., TurnRunner],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    uuid = stored(database, **ENDLESS).uuid
    written: list[Path] = []

    def too_late(*arguments: Any) -> Any:
        written.extend((tmp_path / "artifacts" / uuid).rglob("attempt-*"))
        delete_study(database, "study")  # the API takes the files away; these come later
        return hand_back(*arguments)

    monkeypatch.setattr("hpsearch.session.run.hand_back", too_late)
    make_runner().run(None, once(has_epochs(database, 3), lambda: pause(database, "study")))

    assert written != []
    assert not (tmp_path / "artifacts" / uuid).exists()


def test_a_trial_told_to_stop_is_complete_with_its_best_epoch(
    database: Database, make_runner: Callable[..., TurnRunner]
) -> None:
    stored(database, **{**ENDLESS, "limits": {"max_trials": 1}})

    make_runner().run(
        None, once(has_epochs(database, 2), lambda: stop_trial(database, "study", 0))
    )

    trial = get_trial(database, "study", 0)
    assert trial.state is TrialState.COMPLETE
    assert trial.values is not None
    assert trial.test is not None
    assert get_study(database, "study").state is StudyState.COMPLETED


def test_a_lowered_limit_on_concurrent_trials_holds_from_the_next_epoch_on(
    database: Database, make_runner: Callable[..., TurnRunner]
) -> None:
    stored(database, **ENDLESS)
    change = {"limits": {"max_concurrent_trials": 1}}

    make_runner().run(
        None, once(has_epochs(database, 3), lambda: change_study(database, "study", change))
    )
    assert get_study(database, "study").counts.running == 0
    n = len(study_epochs(database, "study")) + 2
    seen = []

    def look() -> bool:
        seen.append(get_study(database, "study").counts.running)
        return len(study_epochs(database, "study")) >= n

    make_runner().run(None, look)

    assert max(seen) == 1


def test_a_trial_that_kills_its_trainer_fails_alone_and_the_others_complete(
    database: Database, make_runner: Callable[..., TurnRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(number: int, *rest: Any) -> LaneSpec:
        if number == 2:
            raise KilledError
        return LaneSpec(number, *rest)

    monkeypatch.setattr("hpsearch.session.run.LaneSpec", deadly)
    limits = {"max_trials": 6, "max_attempts": 2}
    stored(database, **{**STUDY, "limits": limits, "execution": {"lanes": 4}})

    for turn in range(12):
        try:
            make_runner(worker=f"worker-{turn}").run(None, never)
        except KilledError:
            worker_lost(database, f"worker-{turn}")

    study = get_study(database, "study")
    assert (study.state, study.counts.complete) == (StudyState.COMPLETED, 5)
    poison = get_trial(database, "study", 2)
    assert poison.failure is not None
    assert poison.failure.kind == "worker_lost"
    assert [a.state for a in poison.attempts] == [AttemptState.LOST] * 4  # of 4, 2, 1, 1
