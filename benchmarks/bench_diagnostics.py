"""What do the signs of training cost that every epoch reports, as a share of the step?

    python -m benchmarks.bench_diagnostics FOLDER [--core 0] [--lanes 1 8] [--out FILE]

FOLDER holds the MNIST files. Steps that look at the gradient's norm, or at what a step changes,
are timed beside steps that do not; what they take longer is spread over all steps of an epoch.
Of many steps of a kind the quickest counts, so that a busy machine does not matter much.
"""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.bench_pack import BATCH, NETWORKS
from benchmarks.harness import emit, environment, pin
from benchmarks.loops import RULES, images
from hpsearch.datasets.splits import Splits
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.sections import Direction, Training
from hpsearch.training.batches import Batches
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import Goal
from hpsearch.training.pack import Pack
from hpsearch.training.step import Kind, Step

KINDS = {
    "plain": Kind(is_sampled=False, is_compared=False),
    "sampled": Kind(is_sampled=True, is_compared=False),
    "compared": Kind(is_sampled=False, is_compared=True),
}


def main() -> None:
    """Time every kind of step of every network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--core", type=int)
    parser.add_argument("--lanes", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--networks", nargs="*", default=["784-128-10", "784-500-300-10"])
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pin(options.core)
    splits = images(options.folder, train_fraction=0.2)
    for name in options.networks:
        for lanes in options.lanes:
            seconds, counts = measure(splits, name, lanes, options.repeats)
            n_steps, plain = sum(counts.values()), seconds["plain"]
            extra = sum(n * (seconds[kind] - plain) for kind, n in counts.items())
            line = {
                "question": "diagnostics",
                "network": name,
                "lanes": lanes,
                **{f"{kind}_us": round(1e6 * value, 1) for kind, value in seconds.items()},
                **{f"{kind}_steps": n for kind, n in counts.items()},
                "percent_of_step": round(100 * extra / (n_steps * plain), 2),
                "clock": "cpu",
                "n": options.repeats,
            }
            emit({**line, **environment()}, options.out)


def measure(
    splits: Splits, name: str, lanes: int, repeats: int
) -> tuple[dict[str, float], dict[str, int]]:
    """Return the seconds of a step of each kind, and how many an epoch of all of MNIST has."""
    engine = Engine(splits, Goal("val_loss", Direction.MINIMIZE), 0, lanes=lanes)
    config = TrialConfig(NETWORKS[name], RULES["sgd"], Training(epochs=1, batch_size=BATCH))
    pack = engine.pack(config, lanes)
    batches, step = pack._begin(pack.lanes)
    assert batches is not None
    seconds = dict.fromkeys(KINDS, float("inf"))
    for _ in range(repeats):
        for kind in KINDS:
            seconds[kind] = min(seconds[kind], _seconds(pack, batches, step, KINDS[kind]))
    kinds = [step.kind(number) for number in range(540)]
    counts = {
        "plain": sum(not kind.is_sampled and not kind.is_compared for kind in kinds),
        "sampled": sum(kind.is_sampled for kind in kinds),
        "compared": sum(kind.is_compared for kind in kinds),
    }
    return seconds, counts


def _seconds(pack: Pack, batches: Batches, step: Step, kind: Kind) -> float:
    """Return the seconds of a step of this kind behind another, which finds the cache as usual."""
    steps = range(2)
    step.prepare(steps)
    keys = torch.from_numpy(pack._keys(steps, pack.lanes))
    taken = 0.0
    pairs = (pair for block in batches.of(steps) for pair in zip(*block, strict=True))
    for offset, (x, y) in enumerate(pairs):
        started = time.process_time()
        step.take(x, y, offset, keys[offset], kind if offset else KINDS["plain"])
        taken = time.process_time() - started
    return taken


if __name__ == "__main__":
    main()
