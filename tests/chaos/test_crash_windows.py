"""Every window of docs/explanation/exactness.md has a test that stops a process exactly there."""

import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from sqlalchemy import select

from hpsearch.faults import Fault, Window
from hpsearch.queue.doorbell import Doorbell
from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.studies.create import create_study
from hpsearch.studies.janitor import Janitor
from hpsearch.studies.read import list_studies
from hpsearch.studies.recover import expire_leases
from hpsearch.training.checkpoint import load_state
from tests.chaos.conftest import begin
from tests.chaos.promises import (
    SMALL,
    Outcome,
    attempt_states,
    broken_promises,
    chaos_study,
)
from tests.chaos.trainers import Orders, fork, train
from tests.services.waiting import eventually
from tests.studies import opened

KEY, BODY = "a-key", "0" * 64
CLAIM = [
    Window.RESERVE_UNCOMMITTED,
    Window.RESERVE_COMMITTED,
    Window.PARAMS_UNCOMMITTED,
    Window.PARAMS_COMMITTED,
]
REPORT = [Window.REPORT_UNCOMMITTED, Window.REPORT_COMMITTED]
FILES = [
    Window.FILE_UNFINISHED,
    Window.MODEL_WRITTEN,
    Window.CHECKPOINT_WRITTEN,
    Window.CHECKPOINT_RECORDED,
]
HAND_BACK = [
    Window.HAND_BACK_WRITTEN,
    Window.HAND_BACK_UNCOMMITTED,
    Window.HAND_BACK_COMMITTED,
]
TRAINER = [*CLAIM, Window.TRAINING, *REPORT, *FILES, *HAND_BACK]


class Scene:
    """One study, its artifacts, and trainers that come and go."""

    def __init__(self, database: Database, url: str, folder: Path) -> None:
        self.database, self.url, self.folder = database, url, folder
        self.orders = Orders(folder / "orders")
        self.processes: list[ForkServerProcess] = []

    def start(
        self, worker: str, lost: str | None = None, turns: int = 2, lease_s: float = 30.0
    ) -> ForkServerProcess:
        process = fork(
            self.orders, train, self.url, str(self.folder), worker, lost, turns, lease_s
        )
        self.processes.append(process)
        return process

    def run(self, worker: str, lost: str | None = None, turns: int = 2) -> int | None:
        process = self.start(worker, lost, turns)
        process.join(60)
        code: int | None = process.exitcode
        return code

    def running_without_params(self) -> int:
        ours, optuna = tables.trials.c, tables.optuna_trials.c
        query = (
            select(ours.has_params)
            .join(tables.optuna_trials, optuna.trial_id == ours.trial_id)
            .where(optuna.state == "RUNNING")
        )
        with self.database.read() as tx:
            return [row.has_params for row in tx.execute(query)].count(False)


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    with opened(database_url) as database:
        begin(database, "study")
        scene = Scene(database, database_url, tmp_path)
        yield scene
        for process in scene.processes:
            process.kill()
            process.join()


@pytest.mark.parametrize("window", TRAINER)
def test_a_trainer_killed_in_a_window_costs_no_trial(
    scene: Scene, undisturbed: dict[int, Outcome], window: Window
) -> None:
    scene.orders.give(window, Fault.KILL)
    assert scene.run("first") == -signal.SIGKILL
    assert scene.orders.is_done(window)
    if window in CLAIM:  # later a claim may be under way beside
        is_bare = scene.running_without_params() > 0
        assert is_bare == (window in {Window.RESERVE_COMMITTED, Window.PARAMS_UNCOMMITTED})
    assert scene.run("second", lost="first", turns=1) == 0
    assert broken_promises(scene.database, "study", undisturbed) == []
    for number in range(SMALL):
        uuid = _uuid(scene.database)
        path = scene.folder / "artifacts" / uuid / str(number) / "model.safetensors"
        assert load_state(path) is not None, f"the model of trial {number}"
    if window is Window.FILE_UNFINISHED:
        assert [p for p in (scene.folder / "artifacts").rglob(".*") if p.is_file()] == []


@pytest.mark.parametrize("window", [*CLAIM, *REPORT, *HAND_BACK[1:]])
def test_a_connection_cut_in_a_window_costs_nothing(
    scene: Scene, undisturbed: dict[int, Outcome], window: Window
) -> None:
    scene.orders.give(window, Fault.CUT)
    assert scene.run("only") == 0
    assert scene.orders.is_done(window)
    assert broken_promises(scene.database, "study", undisturbed) == []
    assert attempt_states(scene.database, "study")["LOST"] == 0


@pytest.mark.parametrize("fault", [Fault.AHEAD, Fault.BEHIND])
def test_a_wrong_clock_at_one_end_of_the_connection_costs_nothing(
    scene: Scene, undisturbed: dict[int, Outcome], fault: Fault
) -> None:
    if scene.database.is_sqlite:
        pytest.skip("it has no clock but its machine's, which all processes share")
    scene.orders.give(Window.TRAINING, fault)
    process = scene.start("only")
    while process.is_alive():
        assert expire_leases(scene.database) == 0
        process.join(0.05)
    assert process.exitcode == 0
    assert scene.orders.is_done(Window.TRAINING)
    assert broken_promises(scene.database, "study", undisturbed) == []
    assert attempt_states(scene.database, "study")["LOST"] == 0


def test_a_disk_that_is_full_costs_a_file_and_no_result(
    scene: Scene, undisturbed: dict[int, Outcome]
) -> None:
    scene.orders.give(Window.FILE_UNFINISHED, Fault.FULL)
    assert scene.run("only") == 0
    assert scene.orders.is_done(Window.FILE_UNFINISHED)
    assert broken_promises(scene.database, "study", undisturbed) == []
    strays = [p for p in (scene.folder / "artifacts").rglob(".*") if p.is_file()]
    assert strays == []


def test_a_hung_trainer_loses_its_leases_and_is_fenced(
    scene: Scene, undisturbed: dict[int, Outcome]
) -> None:
    scene.orders.give(Window.TRAINING, Fault.HANG)
    hung = scene.start("hung", lease_s=0.5)
    eventually(lambda: scene.orders.is_done(Window.TRAINING), "it hangs")
    eventually(lambda: expire_leases(scene.database), "its leases run out")
    assert hung.is_alive()
    assert scene.run("heir", turns=1) == 0
    assert broken_promises(scene.database, "study", undisturbed) == []


@pytest.mark.parametrize("window", [Window.STUDY_UNCOMMITTED, Window.STUDY_COMMITTED])
def test_a_request_repeated_after_a_death_creates_one_study(
    database_url: str, tmp_path: Path, window: Window
) -> None:
    orders = Orders(tmp_path / "orders")
    orders.give(window, Fault.KILL)
    process = fork(orders, _create, database_url)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with opened(database_url) as database:
        created = create_study(
            database, chaos_study("new"), idempotency_key=KEY, body_sha256=BODY
        )[1]
        assert created == (window is Window.STUDY_UNCOMMITTED)
        assert len(list_studies(database)[0]) == 1


@pytest.mark.parametrize("window", [Window.RING_DUE, Window.RING_SENT])
def test_a_janitor_killed_at_the_bell_is_made_good_by_the_next(
    scene: Scene, redis_url: str, window: Window
) -> None:
    from hpsearch.storage import workers
    from hpsearch.storage.database import now

    with scene.database.write() as tx:
        workers.touch(tx, "idle", "cpu", None, 0, now(tx))
    scene.orders.give(window, Fault.KILL)
    process = fork(scene.orders, _tick, scene.url, redis_url)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    bell = Doorbell(redis_url)
    assert bell.waiting() == (window is Window.RING_SENT)
    Janitor(scene.database, 30.0, bell).tick()
    assert bell.waiting() == 1
    bell.close()


def _create(url: str) -> None:
    with opened(url) as database:
        create_study(database, chaos_study("new"), idempotency_key=KEY, body_sha256=BODY)


def _tick(url: str, redis_url: str) -> None:
    with opened(url) as database:
        Janitor(database, 30.0, Doorbell(redis_url)).tick()


def _uuid(database: Database) -> str:
    with database.read() as tx:
        return str(tx.execute(select(tables.studies.c.uuid)).scalar_one())
