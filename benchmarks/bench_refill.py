"""What does it cost that trials come and go? Pruning, refilling, and seats left empty.

    python -m benchmarks.bench_refill FOLDER [--core 0] [--lanes 8 16] [--trials 1000] [--out FILE]

First the seconds that one lane's leaving and another's coming take, as a share of the pack's
epoch (FOLDER holds the MNIST files; an epoch is measured in steps and scaled); the drawing of
first weights, which every trial needs, is told apart. Then searches by
successive halving (1, 3, 9 and 20 epochs, a third goes on) through the engine itself, on a data
set so small that only the bookkeeping counts: how many trial-epochs a device computes for each
useful one, when an epoch of a pack with fewer than ``flat`` live lanes costs as much as one with
``flat`` of them. On a CPU ``flat`` is 1, on a GPU it is where the device is full.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.bench_pack import BATCH, MNIST, NETWORKS
from benchmarks.harness import emit, environment, pin
from benchmarks.loops import RULES, images
from hpsearch.datasets.base import Arrays
from hpsearch.datasets.splits import Splits, split
from hpsearch.models.base import Model
from hpsearch.models.mlp import Mlp
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.sections import DatasetSection, Direction, Task, Training
from hpsearch.training import pack as pack_module
from hpsearch.training import run as run_module
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import Boundary, Goal, LaneSpec, Reply
from hpsearch.training.pack import Pack
from hpsearch.training.seeds import initial_generator

GOAL = Goal("val_loss", Direction.MINIMIZE)
RUNGS = (1, 3, 9, 20)
REDUCTION = 3
SLOTS = 64
FLAT = (1, 16, 32, 64)


def main() -> None:
    """Time a refill, then simulate the searches."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--core", type=int)
    parser.add_argument("--lanes", type=int, nargs="*", default=[8, 16])
    parser.add_argument("--networks", nargs="*", default=["784-128-10", "784-500-300-10"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pin(options.core)
    splits = images(options.folder, train_fraction=0.2)
    for name in options.networks:
        for lanes in options.lanes:
            refill(options, splits, name, lanes)
    for is_refilled in (True, False):
        simulate(options, is_refilled=is_refilled)


def refill(options: argparse.Namespace, splits: Splits, name: str, lanes: int) -> None:
    """Emit what one lane's leaving and another's coming take."""
    model = NETWORKS[name]
    engine = Engine(splits, GOAL, 0, lanes=lanes)
    config = TrialConfig(model, RULES["sgd"], Training(epochs=1, batch_size=BATCH))
    pack = engine.pack(config, lanes)
    steps = max(4, 80 // lanes)
    pack.try_out(lanes, steps)
    draws, moves, step_s = [], [], []
    for _ in range(options.repeats):
        with _drawn(model):
            moves.append(_seconds(lambda: _refill(pack)))
        step_s.append(pack.try_out(lanes, steps) / steps)
        draws.append(_seconds(lambda: model.initial(784, 10, initial_generator(0, 0))))
    moved_s, drawn_s = statistics.median(moves), statistics.median(draws)
    epoch_s = statistics.median(step_s) * MNIST / BATCH
    line = {
        "question": "refill",
        "network": name,
        "lanes": lanes,
        "refill_ms": round(1e3 * moved_s, 3),
        "first_weights_ms": round(1e3 * drawn_s, 3),
        "epoch_s": round(epoch_s, 3),
        "percent_of_epoch": round(100 * moved_s / epoch_s, 4),
        "percent_with_first_weights": round(100 * (moved_s + drawn_s) / epoch_s, 4),
        "clock": "cpu",
        "n": options.repeats,
    }
    emit({**line, **environment()}, options.out)


def _refill(pack: Pack) -> None:
    lane = pack.lanes[0]
    pack.remove(lane)
    pack.add(lane, None)


@contextmanager
def _drawn(model: Model) -> Iterator[None]:
    """Have the first weights at hand, so that only what is done with them takes time."""
    generator = initial_generator(0, 0)
    weights = model.initial(784, 10, generator)
    with (
        mock.patch.object(pack_module, "initial_generator", new=partial(_same, generator)),
        mock.patch.object(type(model), "initial", new=partial(_same, weights)),
    ):
        yield


def _same(value: Any, *_: object) -> Any:
    return value


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


class Halving:
    """Asynchronous successive halving as a caller of the engine; how good a trial is, is drawn."""

    def __init__(self, n_trials: int, *, is_refilled: bool) -> None:
        self._quality = np.random.default_rng(0).permutation(n_trials)
        self._next, self._is_refilled = 0, is_refilled
        self._rungs: dict[int, list[int]] = {rung: [] for rung in RUNGS}
        self.useful = 0

    def __call__(self, boundary: Boundary) -> Reply:
        """Drop whom a rung does not let pass, and admit others where that is wanted."""
        dropped = set()
        for report in boundary.reports:
            self.useful += len(report.epochs)
            for result in report.epochs:
                if report.end is None and not self._passes(report.number, result.epoch):
                    dropped.add(report.number)
        n_live = boundary.n_live - len(dropped)
        n_free = boundary.n_free + len(dropped) if self._is_refilled or n_live == 0 else 0
        admitted = range(self._next, min(self._next + n_free, len(self._quality)))
        self._next = admitted.stop
        config = TrialConfig(Mlp(hidden_units=(2,)), RULES["sgd"], Training(epochs=RUNGS[-1]))
        return Reply(drop=frozenset(dropped), admit=tuple(LaneSpec(n, config) for n in admitted))

    def _passes(self, number: int, epoch: int) -> bool:
        if epoch not in self._rungs or epoch == RUNGS[-1]:
            return True
        seen = self._rungs[epoch]
        seen.append(int(self._quality[number]))
        return sorted(seen).index(seen[-1]) < max(1, len(seen) // REDUCTION)


def simulate(options: argparse.Namespace, *, is_refilled: bool) -> None:
    """Emit how many trial-epochs are computed for each useful one."""
    caller = Halving(options.trials, is_refilled=is_refilled)
    engine = Engine(_few(), GOAL, 0, lanes=SLOTS)
    with _counted() as live:
        engine.run(caller, lambda: False)
    line = {
        "question": "empty seats",
        "name": "refilled" if is_refilled else "not refilled",
        "trials": options.trials,
        "slots": SLOTS,
        "useful": caller.useful,
        "epochs_of_pack": len(live),
        "computed_per_useful": {
            flat: round(sum(max(n, flat) for n in live) / caller.useful, 3) for flat in FLAT
        },
    }
    emit({**line, **environment()}, options.out)


@contextmanager
def _counted() -> Any:
    """Yield the live lanes of every epoch played; ask the caller after each, however short."""
    live: list[int] = []
    train = Pack.train_epoch

    def counted(pack: Pack, poll: Callable[[], None]) -> Any:
        live.append(len(pack.lanes))
        return train(pack, poll)

    with (
        mock.patch.object(Pack, "train_epoch", counted),
        mock.patch.object(run_module, "_BOUNDARY_S", 0.0),
    ):
        yield live


def _few() -> Splits:
    y = np.arange(60) % 2
    x = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)
    section = DatasetSection(name="few", test_fraction=0.2, validation_fraction=0.2)
    return split(Arrays(x, y.astype(np.int64), 2), section, Task.CLASSIFICATION)


if __name__ == "__main__":
    main()
