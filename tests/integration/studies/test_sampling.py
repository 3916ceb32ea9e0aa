"""Points as claims hand them out: grids that end, duplicates, what samplers remember."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from hpsearch.sampling.base import REGISTRY, SampledPoint, SampleRequest
from hpsearch.sampling.memory import Memory
from hpsearch.sampling.random import RandomSampler
from hpsearch.sampling.tpe import Tpe
from hpsearch.spec.states import FailureKind, StudyState, TrialState
from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.storage.history import History
from hpsearch.studies.claim import Claimant, claim
from hpsearch.studies.control import resume, stop
from hpsearch.studies.enqueue import retry
from hpsearch.studies.read import get_study, list_trials
from hpsearch.studies.recover import worker_lost
from hpsearch.studies.report import Ending, TrialReport
from tests.studies import Hand, stored

# two branches with grids of their own: 2 * (3 + 2 * 2) = 14 points
GRID: dict[str, Any] = {
    "model": {"family": "mlp", "hidden_units": {"choices": [4, 8]}},
    "optimizer": {
        "choices": [
            {"name": "sgd", "learning_rate": {"low": 0.1, "high": 0.3, "step": 0.1}},
            {
                "name": "adam",
                "learning_rate": {"choices": [0.001, 0.01]},
                "l2": {"choices": [0, 0.1]},
            },
        ]
    },
    "sampler": {"name": "grid"},
    "limits": {},
}
FEW: dict[str, Any] = {
    "model": {"family": "mlp", "hidden_units": {"low": 1, "high": 6}},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def points(database: Database) -> Counter[str]:
    return Counter(str(sorted(t.params.items())) for t in list_trials(database, "study")[0])


def test_eight_workers_try_every_point_of_a_grid_exactly_once(database: Database) -> None:
    uuid = stored(database, **GRID).uuid

    def work(i: int) -> int:
        hand, n_done = Hand(database, uuid, worker=f"worker-{i}"), 0
        while claimed := hand.claim(1 + i % 3):
            for trial in claimed:
                hand.finish(trial)
            n_done += len(claimed)
        return n_done

    with ThreadPoolExecutor(8) as pool:
        n_done = sum(pool.map(work, range(8)))

    study = get_study(database, "study")
    assert n_done == study.counts.complete == 14
    assert set(points(database).values()) == {1}
    assert (study.state, study.state_reason) == (StudyState.COMPLETED, "SEARCH_SPACE_EXHAUSTED")


def test_the_last_points_of_a_grid_finish_and_are_claimed_again_if_lost(
    database: Database,
) -> None:
    hand = stored(database, **GRID)
    claimed = hand.claim(20)
    ending = get_study(database, "study")
    assert (len(claimed), ending.state) == (14, StudyState.STOPPING)
    for trial in claimed[:13]:
        hand.finish(trial)
    worker_lost(database, "worker-0")

    again = hand.claim(20)

    assert [trial.number for trial in again] == [trial.number for trial in claimed[13:]]
    assert [trial.config for trial in again] == [trial.config for trial in claimed[13:]]
    for trial in again:
        hand.finish(trial)
    assert get_study(database, "study").state is StudyState.COMPLETED
    assert set(points(database).values()) == {1}


def test_a_grid_that_was_stopped_goes_on_where_it_was(database: Database) -> None:
    hand = stored(database, **GRID)
    for trial in hand.claim(5):
        hand.finish(trial)
    stop(database, "study")
    resume(database, "study")
    for trial in hand.claim(20):
        hand.finish(trial)
    assert len(points(database)) == 14
    assert get_study(database, "study").state_reason == "SEARCH_SPACE_EXHAUSTED"


def test_the_size_of_a_grid_says_how_far_a_study_is(database: Database) -> None:
    hand = stored(database, **GRID)
    for trial in hand.claim(7):
        hand.finish(trial)
    progress = get_study(database, "study").progress
    assert (progress.max_trials, progress.finished, progress.fraction) == (None, 7, 0.5)
    assert progress.eta_s is not None


def test_a_failed_point_of_a_grid_that_has_ended_can_be_tried_again(database: Database) -> None:
    hand = stored(database, **GRID)
    *good, bad = hand.claim(14)
    for trial in good:
        hand.finish(trial)
    failure = (FailureKind.DIVERGED, "nan")
    hand.report(
        TrialReport(bad.number, bad.token, {}, 1.0, end=Ending(TrialState.FAIL, failure=failure))
    )
    assert get_study(database, "study").state is StudyState.COMPLETED

    retry(database, "study", bad.number)
    (again,) = hand.claim(3)
    hand.finish(again)

    study = get_study(database, "study")
    assert again.config == bad.config
    assert (study.state, study.state_reason) == (StudyState.COMPLETED, "SEARCH_SPACE_EXHAUSTED")


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "grid"])
def test_workers_that_claim_at_once_get_different_points(database: Database, name: str) -> None:
    hand = stored(database, sampler={"name": name}, limits={"max_trials": 16})
    for i, trial in enumerate(hand.claim(4)):
        hand.finish(trial, value=i / 10)
    workers = [Hand(database, hand.uuid, worker=f"worker-{i}") for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        claimed = list(pool.map(lambda worker: worker.claim(3), workers))
    assert sum(map(len, claimed)) == 12
    assert set(points(database).values()) == {1}


@pytest.mark.parametrize("name", ["random", "qmc", "tpe"])
def test_duplicates_are_drawn_anew_where_that_is_asked_for(database: Database, name: str) -> None:
    sampler = {"name": name, "on_duplicate": "resample"}
    hand = stored(database, **FEW, sampler=sampler, limits={"max_trials": 6})
    other = Hand(database, hand.uuid, worker="worker-1")
    with ThreadPoolExecutor(2) as pool:
        claimed = list(pool.map(lambda who: who.claim(3), [hand, other]))
    assert sum(map(len, claimed)) == 6
    # six of six points in 11 tries each: the chance to miss one is small, and the seed is fixed
    assert len(points(database)) >= 5


def test_a_space_with_fewer_points_than_trials_repeats_them_after_ten_tries(
    database: Database,
) -> None:
    sampler = {"name": "random", "on_duplicate": "resample"}
    hand = stored(database, **FEW, sampler=sampler, limits={"max_trials": 9})
    assert len(hand.claim(9)) == 9
    assert len(points(database)) == 6


def test_duplicates_are_kept_otherwise(database: Database) -> None:
    hand = stored(database, **FEW, limits={"max_trials": 6})
    hand.claim(6)
    assert len(points(database)) < 6


def test_the_parents_of_a_generation_are_chosen_once(database: Database) -> None:
    sampler = {"name": "nsgaii", "population_size": 3}
    hand = stored(database, sampler=sampler, limits={"max_trials": 40})
    for i, trial in enumerate(hand.claim(6)):
        hand.finish(trial, value=i / 10)

    hand.claim(2)
    first = remembered(database)
    for trial in hand.claim(3):
        hand.finish(trial, value=0.9)
    hand.claim(1)

    assert len(first) == 1
    assert all(key.startswith("NSGAIISampler:parent:") for key in first)
    assert first.items() <= remembered(database).items()


def remembered(database: Database) -> dict[str, str]:
    attrs = tables.optuna_study_system_attrs.c
    with database.read() as tx:
        return {key: value for key, value in tx.execute(select(attrs.key, attrs.value_json))}  # noqa: C416


def test_a_sampler_with_a_memory_looks_at_some_trials_the_same_for_every_worker(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[list[tuple[int, str]]] = []

    def sample(request: SampleRequest) -> dict[int, SampledPoint]:
        looked_at.append([(trial.number, trial.state.name) for trial in request.history()])
        return RandomSampler().sample(request)

    monkeypatch.setattr(Tpe, "memory", lambda *_: Memory(most=6, best=2))
    monkeypatch.setattr(Tpe, "sample", lambda _, request: sample(request))
    hand = stored(database, sampler={"name": "tpe"}, limits={"max_trials": 60})
    with database.read() as tx:
        history = History(tx.execute(select(tables.studies.c.study_id)).scalar_one())
    claimant = Claimant("worker-0", "cpu", "exact", 30.0)
    for i in range(6):
        lanes = claim(database, hand.uuid, 4, f"{i:036d}", claimant, history)
        if i == 0:
            running, *lanes = lanes
        for lane in lanes:
            hand.finish(lane, value=lane.number / 100)

    hand.claim(1)  # by somebody who has never seen the study

    sizes = [len(seen) for seen in looked_at]
    assert sizes == [0, 4, 7, 7, 7, 7, 7]
    assert all((running.number, "RUNNING") in seen for seen in looked_at[1:])
    # the best of the 23 that have finished are 22 and 23
    assert {(22, "COMPLETE"), (23, "COMPLETE")} <= set(looked_at[-1])
    claim(database, hand.uuid, 1, "a" * 36, claimant, history)
    assert [seen for seen in looked_at[-1] if seen[0] != 24] == looked_at[-2]
