"""How many lanes pay: measured once, within a budget, and remembered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hpsearch.models.mlp import Mlp
from hpsearch.training import planner as planner_module
from hpsearch.training.engine import Engine
from hpsearch.training.pack import Pack
from hpsearch.training.planner import Capacity, Planner, best_of
from tests.lanes import LOWEST_LOSS, class_splits, play, trial

CLASSES = class_splits()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], list[int]]:
    """Let packs take the given seconds per step, and note which sizes are tried."""
    seen: list[int] = []

    def pretend(seconds: dict[int, float]) -> list[int]:
        def try_out(_pack: Pack, n_lanes: int, n_steps: int) -> float:
            seen.append(n_lanes)
            return seconds[n_lanes] * n_steps

        monkeypatch.setattr(Pack, "try_out", try_out)
        monkeypatch.setattr(planner_module, "_LEAST_STEPS", 0)  # any work is enough
        monkeypatch.setattr(planner_module, "MOST_SHARE", 1e6)
        return seen

    return pretend


def engine(planner: Planner, **settings: Any) -> Engine:
    return Engine(CLASSES, LOWEST_LOSS, 1, planner=planner, **settings)


FUSION_PAYS = {1: 1.0, 2: 1.2, 4: 1.6, 8: 4.0, 16: 9.0}
FUSION_LOSES = {1: 1.0, 2: 2.2, 4: 4.8, 8: 12.0, 16: 40.0}


@pytest.mark.parametrize(
    ("rates", "lanes"),
    [
        ({1: 100.0}, 1),
        ({1: 100.0, 2: 101.0, 4: 102.0}, 1),  # that is noise
        ({1: 100.0, 2: 150.0, 4: 190.0, 8: 191.0}, 4),
        ({1: 100.0, 2: 90.0, 4: 85.0}, 1),
        ({1: 100.0, 2: 90.0, 4: 130.0}, 4),
    ],
)
def test_the_smallest_pack_that_none_clearly_beats_is_chosen(
    rates: dict[int, float], lanes: int
) -> None:
    assert best_of(rates) == lanes


def test_what_pays_is_measured_once_and_used(
    tried: Callable[[dict[int, float]], list[int]],
) -> None:
    seen = tried(FUSION_PAYS)
    planner = Planner()
    caller = play(engine(planner), [trial(epochs=3) for _ in range(12)])
    assert max(boundary.n_live + boundary.n_free for boundary in caller.boundaries) == 4
    n_tries = len(seen)
    assert n_tries > 0
    play(engine(planner), [trial(epochs=3) for _ in range(4)])
    assert len(seen) == n_tries
    assert len(caller.ends) == 12


def test_where_fusion_loses_lanes_part_and_change_nothing(
    tried: Callable[[dict[int, float]], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried(FUSION_LOSES)
    sizes: list[int] = []
    whole = Pack.train_epoch

    def train_epoch(pack: Pack, poll: Callable[[], None]) -> Any:
        sizes.append(len(pack.lanes))
        return whole(pack, poll)

    monkeypatch.setattr(Pack, "train_epoch", train_epoch)
    trials = [trial(epochs=4) for _ in range(4)]
    planned = play(engine(Planner()), trials)
    assert sizes[0] == 4
    assert set(sizes[1:]) == {1}
    alone = play(engine(Planner(), lanes=1), trials)
    for number in range(4):
        assert planned.curve(number) == alone.curve(number)


def test_too_little_work_is_not_measured_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pack, "try_out", lambda *_: pytest.fail("nothing to measure for"))
    play(engine(Planner()), [trial(epochs=3) for _ in range(4)])


def test_a_number_of_lanes_is_not_second_guessed(
    tried: Callable[[dict[int, float]], list[int]],
) -> None:
    seen = tried(FUSION_LOSES)
    play(engine(Planner(), lanes=4), [trial(epochs=3) for _ in range(4)])
    assert seen == []


def test_capacities_outlive_the_process_and_damage(
    tried: Callable[[dict[int, float]], list[int]], tmp_path: Path
) -> None:
    seen = tried(FUSION_PAYS)
    folder = tmp_path / "capacity"
    play(engine(Planner(folder)), [trial(epochs=3) for _ in range(4)])
    n_tries = len(seen)
    play(engine(Planner(folder)), [trial(epochs=3) for _ in range(4)])
    assert len(seen) == n_tries
    (file,) = folder.iterdir()
    file.write_text("[]")
    play(engine(Planner(folder)), [trial(epochs=3) for _ in range(4)])
    assert len(seen) == 2 * n_tries


def test_other_sizes_and_programs_have_other_capacities(
    tried: Callable[[dict[int, float]], list[int]], tmp_path: Path
) -> None:
    tried(FUSION_PAYS)
    for model in (Mlp(hidden_units=(16,)), Mlp(hidden_units=(64,)), Mlp(hidden_units=(16, 16))):
        play(engine(Planner(tmp_path)), [trial(epochs=3, model=model) for _ in range(3)])
    assert len(list(tmp_path.iterdir())) == 3


def test_memory_bounds_what_is_tried(
    tried: Callable[[dict[int, float]], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tried({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0})
    n_bytes = 4 * (12 * 16 + 16 + 16 * 4 + 4) * 6  # of one lane of sgd
    monkeypatch.setattr(planner_module, "free_bytes", lambda _: 2 * 5 * n_bytes)
    play(engine(Planner()), [trial(epochs=3) for _ in range(4)])
    assert max(seen) == 4


def test_running_out_of_memory_while_trying_out_costs_nobody_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Pack.try_out

    def try_out(pack: Pack, n_lanes: int, n_steps: int) -> float:
        if n_lanes > 2:
            raise torch.OutOfMemoryError("tried to allocate too much")
        return whole(pack, n_lanes, n_steps)

    monkeypatch.setattr(Pack, "try_out", try_out)
    monkeypatch.setattr(planner_module, "_LEAST_STEPS", 0)
    monkeypatch.setattr(planner_module, "MOST_SHARE", 1e6)
    planner = Planner()
    caller = play(engine(planner), [trial(epochs=3) for _ in range(4)])
    assert all(end.failure is None for end in caller.ends.values())
    (found,) = [one for one in planner._capacities.values() if one is not None]
    assert set(found.rates) == {1, 2}


def test_trying_out_real_packs_keeps_to_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner_module, "_LEAST_STEPS", 0)
    planner = Planner()
    caller = play(engine(planner), [trial(epochs=30) for _ in range(8)])
    assert len(caller.ends) == 8
    (found,) = [one for one in planner._capacities.values() if one is not None]
    assert isinstance(found, Capacity)
    assert found.lanes in found.rates
