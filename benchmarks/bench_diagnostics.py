"""What do the signs of training cost that every epoch reports, as a share of the step?

    python -m benchmarks.bench_diagnostics FOLDER [--core 0] [--lanes 1 8] [--out FILE]

FOLDER holds the MNIST files. Epochs are played as they are; steps that look at norms of gradients,
or also at what a step changes, are timed apart from those between them that look at nothing. What
they take longer is spread over all steps of an epoch. Medians.
"""

import argparse
import statistics
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.bench_pack import BATCH, NETWORKS
from benchmarks.harness import emit, environment, pin
from benchmarks.loops import RULES, images
from hpsearch.datasets.splits import Splits
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.sections import Direction, Training
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import Goal
from hpsearch.training.step import Kind


def main() -> None:
    """Time every kind of step of every network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--core", type=int)
    parser.add_argument("--lanes", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--networks", nargs="*", default=["784-128-10", "784-500-300-10"])
    parser.add_argument("--repeats", type=int, default=8, help="epochs")
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
    """Return the seconds of a step of each kind, and how many an epoch has."""
    engine = Engine(splits, Goal("val_loss", Direction.MINIMIZE), 0, lanes=lanes)
    config = TrialConfig(NETWORKS[name], RULES["sgd"], Training(epochs=1, batch_size=BATCH))
    pack = engine.pack(config, lanes)
    seconds: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, int] = {}
    for _ in range(repeats):
        epoch = pack.begin(pack.lanes)
        epoch.take(range(2))  # makes the epoch ready
        start, counts = 2, defaultdict(int)
        while start < pack.n_steps - 1:
            kind, stop = epoch.step.kind(start), start + 1
            while stop < pack.n_steps - 1 and epoch.step.kind(stop) == kind:
                stop += 1
            began = time.process_time()
            epoch.take(range(start, stop))
            seconds[_name(kind)].append((time.process_time() - began) / (stop - start))
            counts[_name(kind)] += stop - start
            start = stop
    return {one: statistics.median(times) for one, times in seconds.items()}, dict(counts)


def _name(kind: Kind) -> str:
    if kind.is_plain:
        return "plain"
    return "compared" if kind.is_compared else "sampled"


if __name__ == "__main__":
    main()
