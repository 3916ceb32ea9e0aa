"""Turns on real data, in this process: the verbs and the engine together."""

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from hpsearch.errors import ServiceDown
from hpsearch.processes import Backoff
from hpsearch.spec.states import AttemptState, StudyState, TrialState
from hpsearch.storage import attempts, workers
from hpsearch.storage.database import Database
from hpsearch.studies.control import pause, resume
from hpsearch.studies.read import get_study, get_trial, list_trials, study_epochs
from hpsearch.studies.recover import expire_leases, renew_leases, worker_lost
from hpsearch.studies.report import report
from hpsearch.training.pack import Pack
from hpsearch.turn import TurnRunner
from tests.studies import opened, past_preflight, stored

# 2 % of the digits: an epoch of a few batches, so that a study is a second
SMALL: dict[str, Any] = {
    "dataset": {"name": "digits", "train_fraction": 0.1},
    "model": {
        "family": "mlp",
        "hidden_layers": {"low": 1, "high": 2},
        "hidden_units": {"low": 8, "high": 64, "log": True},
    },
    "optimizer": {"name": "adam", "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
    "training": {"epochs": 8, "batch_size": 32, "early_stopping": {"patience": 3}},
    "limits": {"max_trials": 6},
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
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
                **changes,
            },
        )

    return make


def never() -> bool:
    return False


def after(n: int) -> Callable[[], bool]:
    """Return a question that is answered with yes from the ``n``-th time on."""
    times = itertools.count()
    return lambda: next(times) >= n


def results(database: Database, name: str = "study") -> list[Any]:
    """Return everything a user would compare: points, curves, values, test metrics."""
    curves = {
        (view.number, view.epoch): {
            metric: value for metric, value in view.metrics.items() if metric != "seconds"
        }
        for view in study_epochs(database, name)
    }
    trials = [
        (t.number, t.state, t.params, t.values, t.test, t.best_epoch, t.epochs, t.stopped_early)
        for t in list_trials(database, name)[0]
    ]
    return [trials, curves]


def test_a_turn_trains_a_study_to_its_end(
    database: Database, make_runner: Callable[..., TurnRunner], tmp_path: Path
) -> None:
    stored(database, **SMALL)

    summary = make_runner().run(None, never)

    study = get_study(database, "study")
    assert (summary.study, summary.n_ended) == ("study", 6)
    assert (study.state, study.counts.complete) == (StudyState.COMPLETED, 6)
    best = study.best_trials[0]
    assert best.values is not None
    assert best.test is not None
    assert (best.values["val_accuracy"] or 0) > 0.6
    assert (best.test["accuracy"] or 0) > 0.6
    assert study.usage.device_seconds == pytest.approx(study.usage.completed)
    (model,) = tmp_path.glob(f"artifacts/*/{best.number}/model.safetensors")
    assert sum(weight.size for weight in load_file(model).values()) == best.n_parameters


def test_a_training_worker_is_heard_of_however_long_its_leases(
    database: Database, make_runner: Callable[..., TurnRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.05)
    stored(database, **SMALL | {"training": {"epochs": 10_000}})
    seen: set[datetime] = set()
    deadline = time.monotonic() + 10.0

    def heard_twice() -> bool:
        with database.read() as tx:
            seen.update(worker.last_seen_at for worker in workers.list_workers(tx))
        return len(seen) > 1 or time.monotonic() > deadline

    make_runner(lease_s=3600.0).run(None, heard_twice)

    assert len(seen) > 1


def test_one_lane_and_eight_lanes_give_the_same_results(
    database: Database, make_runner: Callable[..., TurnRunner]
) -> None:
    runner = make_runner()
    for lanes in (1, 8):
        stored(database, f"lanes-{lanes}", **SMALL, execution={"lanes": lanes})
        runner.run(None, never)
    assert results(database, "lanes-1") == results(database, "lanes-8")


@pytest.mark.parametrize("n_questions", [5, 40])
def test_an_interrupted_turn_goes_on_where_it_was_and_ends_the_same(
    database: Database, make_runner: Callable[..., TurnRunner], n_questions: int
) -> None:
    stored(database, "undisturbed", **SMALL)
    make_runner().run(None, never)
    stored(database, "disturbed", **SMALL)
    past_preflight(database, "disturbed")

    make_runner().run(None, after(n_questions))
    waiting = get_study(database, "disturbed").counts
    make_runner(worker="worker-1").run(None, never)

    assert waiting.running == 0
    assert waiting.waiting > 0
    assert results(database, "disturbed") == results(database, "undisturbed")
    states = {
        attempt.state
        for trial in range(6)
        for attempt in get_trial(database, "disturbed", trial).attempts
    }
    assert states == {AttemptState.SUCCEEDED, AttemptState.PREEMPTED}


def test_a_paused_study_gives_its_lanes_back_and_resumes(
    database: Database, make_runner: Callable[..., TurnRunner]
) -> None:
    stored(database, **{**SMALL, "training": {"epochs": 300, "batch_size": 8}})
    past_preflight(database)
    asked = itertools.count()

    def pause_soon() -> bool:
        if next(asked) == 20:
            pause(database, "study")
        return False

    make_runner().run(None, pause_soon)

    study = get_study(database, "study")
    assert (study.state, study.counts.running) == (StudyState.PAUSED, 0)
    assert study.counts.waiting > 0
    assert make_runner().run(None, never).study is None
    resume(database, "study")
    assert make_runner().run(None, after(20)).study == "study"


def test_a_data_set_that_cannot_be_had_fails_the_study_and_says_why(
    database: Database, make_runner: Callable[..., TurnRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpsearch.datasets.idx.MIRRORS", {}, raising=False)
    stored(database, **{**SMALL, "dataset": {"name": "mnist"}})

    make_runner().run(None, never)

    study = get_study(database, "study")
    assert (study.state, study.state_reason) == (StudyState.FAILED, "DATASET")
    assert "train-images-idx3-ubyte" in study.warnings[-1]


def test_a_sampler_that_breaks_fails_the_study_and_not_the_worker(
    database: Database, make_runner: Callable[..., TurnRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("no points")

    monkeypatch.setattr("hpsearch.sampling.random.RandomSampler.sample", broken)
    stored(database, **SMALL)

    make_runner().run(None, never)

    study = get_study(database, "study")
    assert (study.state, study.state_reason) == (StudyState.FAILED, "INTERNAL")
    assert "no points" in study.warnings[-1]


def test_running_out_of_memory_costs_no_trial_an_attempt(
    database: Database, make_runner: Callable[..., TurnRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Pack.train_epoch
    sizes: list[int] = []

    def train_epoch(pack: Pack, poll: Callable[[], None]) -> Any:
        sizes.append(len(pack.lanes))
        if len(pack.lanes) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        return whole(pack, poll)

    model = {"family": "mlp", "hidden_units": 16}
    changed = {**SMALL, "model": model, "execution": {"lanes": 4}}
    stored(database, **changed)
    make_runner().run(None, never)
    stored(database, "tight", **changed)
    monkeypatch.setattr(Pack, "train_epoch", train_epoch)
    make_runner().run(None, never)
    assert max(sizes) > 1, "nothing was ever too large"
    assert get_study(database, "tight").counts.complete == 6
    for number in range(6):
        attempts_ = get_trial(database, "tight", number).attempts or ()
        assert [one.state for one in attempts_] == [AttemptState.SUCCEEDED]
    assert results(database, "tight") == results(database, "study")


def test_an_engine_that_breaks_costs_attempts_and_ends(
    database: Database, make_runner: Callable[..., TurnRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("no engine")

    stored(database, **{**SMALL, "limits": {"max_trials": 1, "max_attempts": 2}})
    monkeypatch.setattr("hpsearch.session.run.LaneSpec", broken)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            make_runner().run(None, never)
        worker_lost(database, "worker-0")  # as the trainer's successor does

    study = get_study(database, "study")
    assert (study.state, study.counts.fail) == (StudyState.COMPLETED, 1)
    assert len(get_trial(database, "study", 0).attempts) == 2


def test_training_goes_on_while_the_database_is_away(
    database: Database, make_runner: Callable[..., TurnRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(database, "undisturbed", **SMALL)
    make_runner().run(None, never)
    stored(database, "outage", **SMALL)
    calls = itertools.count()

    def flaky(*args: Any, **kwargs: Any) -> Any:
        n = next(calls)
        if n in {1, 2, 4}:
            raise ServiceDown("database", "away")
        decisions = report(*args, **kwargs)
        if n == 3:
            raise ServiceDown("database", "the acknowledgement was lost")
        return decisions

    monkeypatch.setattr("hpsearch.session.run.report", flaky)
    make_runner().run(None, never)

    assert get_study(database, "outage").counts.complete == 6
    assert results(database, "outage") == results(database, "undisturbed")


class Journal:
    """What is logged."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def note(self, event: str, *, doing: str, **_: object) -> None:
        self.told.append((event, doing))

    warning = info = note


def test_a_worker_that_was_away_for_too_long_is_fenced_and_begins_anew(
    database: Database, make_runner: Callable[..., TurnRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    study: dict[str, Any] = {
        **SMALL,
        "training": {"epochs": 150, "batch_size": 32},
        "limits": {"max_trials": 2},
        "execution": {"lanes": 8},
    }
    monkeypatch.setattr("hpsearch.session.claims.CLAIM_AGAIN_S", 0.05)
    stored(database, "undisturbed", **study)
    make_runner().run(None, never)
    hand = stored(database, "outage", **study)
    past_preflight(database, "outage")
    n_calls, journal = itertools.count(), Journal()

    def cut_off(*args: Any, **kwargs: Any) -> Any:
        n = next(n_calls)
        if n == 2:  # the janitor is not cut off, and what it takes back may be claimed
            with database.read() as tx:
                tokens = [attempt.token for attempt in attempts.of_study(tx, 2)]
            renew_leases(database, hand.uuid, tokens, -1.0)
            assert expire_leases(database) > 0
        if n in range(2, 5):
            raise ServiceDown("database", "away")
        return report(*args, **kwargs)

    def slowly() -> bool:
        time.sleep(0.01)  # so that the outage ends in the middle of the training
        return False

    monkeypatch.setattr("hpsearch.session.run.report", cut_off)
    monkeypatch.setattr("hpsearch.session.outage.log", journal)
    make_runner().run(None, slowly)

    assert get_study(database, "outage").counts.complete == 2
    assert results(database, "outage") == results(database, "undisturbed")
    states = [a.state for n in range(2) for a in get_trial(database, "outage", n).attempts]
    assert states.count(AttemptState.LOST) > 0
    assert states.count(AttemptState.SUCCEEDED) == 2
    assert journal.told == [("database_lost", "report"), ("database_found", "report")]


def test_an_interruption_is_noticed_while_claims_wait_for_the_database(
    database: Database, make_runner: Callable[..., TurnRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_at: list[float] = []

    def away(*_: Any) -> None:
        failed_at.append(time.monotonic())
        raise ServiceDown("database", "away")

    def soon() -> bool:
        return bool(failed_at) and time.monotonic() > failed_at[0] + 0.5

    stored(database, **SMALL)
    past_preflight(database)
    monkeypatch.setattr("hpsearch.session.claims.claim", away)
    monkeypatch.setattr(
        "hpsearch.session.outage.Backoff", lambda **_: Backoff(first_s=30.0, longest_s=30.0)
    )
    make_runner().run(None, soon)

    assert len(failed_at) == 1, "asked again before the outage's back-off was over"
    assert time.monotonic() < failed_at[0] + 1.5
    assert get_study(database, "study").counts.running == 0


def test_a_diverging_trial_fails_alone(
    database: Database, make_runner: Callable[..., TurnRunner]
) -> None:
    # half of 1,000 times each weight is taken off it at every step
    optimizer = {"name": "sgd", "learning_rate": 0.5, "l2": {"choices": [0.0, 1000.0]}}
    stored(database, **{**SMALL, "optimizer": optimizer})

    make_runner().run(None, never)

    by_l2: dict[object, set[TrialState]] = {}
    for trial in list_trials(database, "study")[0]:
        by_l2.setdefault(trial.params["optimizer.l2"], set()).add(trial.state)
    assert by_l2 == {0.0: {TrialState.COMPLETE}, 1000.0: {TrialState.FAIL}}
