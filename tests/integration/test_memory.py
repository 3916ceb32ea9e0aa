"""A trainer stays warm for weeks: what a turn leaves behind must not add up."""

import gc
import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.storage.database import Database
from hpsearch.studies import compiled
from hpsearch.turn import TurnRunner
from tests.studies import opened, past_preflight, stored

N_WARM_UP, N_TURNS, EVERY = 9, 30, 3
STUDY: dict[str, Any] = {
    "dataset": {"name": "digits", "train_fraction": 0.1},
    "training": {"epochs": 1, "batch_size": 64},
    "limits": {"max_trials": 2},
    "execution": {"lanes": 2},
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def database(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(compiled, "_MAX_CACHED", 4)  # full after the warm-up, as after 256 turns
    with opened(sqlite_url) as database:
        yield database


def test_turns_leave_nothing_behind(database: Database, tmp_path: Path) -> None:
    runner = TurnRunner(
        database,
        worker="worker-0",
        device="cpu",
        datasets_dir=tmp_path,
        artifacts_dir=tmp_path / "artifacts",
        lease_s=30.0,
        turn_s=60.0,
    )
    objects, resident = [], []
    for turn in range(N_WARM_UP + N_TURNS):
        stored(database, f"study-{turn}", **STUDY)
        past_preflight(database, f"study-{turn}")
        assert runner.run(None, lambda: False).n_ended == 2
        if turn < N_WARM_UP or turn % EVERY:
            continue
        gc.collect()
        objects.append(len(gc.get_objects()))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 1024)

    # what other tests left here comes and goes by a few; a kept definition has thousands
    assert slope(objects) / EVERY < 25, "objects a turn"
    assert slope(resident) / EVERY < 300, "kB a turn; the examples alone are 460"


def slope(values: list[Any]) -> float:
    """Return by how much the values grow from one to the next, by the median of all pairs."""
    n = len(values)
    pairs = [(values[j] - values[i]) / (j - i) for i in range(n) for j in range(i + n // 2, n)]
    return float(statistics.median(pairs))
