"""How fast is one trial? One lane against the loops people write today.

    python -m benchmarks.bench_single FOLDER [--core 0] [--repeats 7] [--steps 40] [--out FILE]

FOLDER holds the MNIST files. Baseline of the ratios is the plain resident loop.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from torch import nn

from benchmarks.harness import Case, compare, pin
from benchmarks.loops import images, pack_loop, resident_loop, tutorial_loop
from hpsearch.datasets.splits import Splits
from hpsearch.models.base import Model
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent

BATCH = 100
NETWORKS: dict[str, Model] = {
    "784-128-10": Mlp(hidden_units=(128,)),
    "784-500-300-10": Mlp(hidden_units=(500, 300)),
    "gru-128-rows": Recurrent(cell="gru", hidden_units=128),
    "lstm-128-rows": Recurrent(cell="lstm", hidden_units=128),
}


def main() -> None:
    """Compare every network and rule."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--core", type=int)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--rules", nargs="*", default=["sgd", "adam"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pin(options.core)
    splits = images(options.folder, train_fraction=0.2)
    for name in options.networks:
        model = NETWORKS[name].fitted(splits.input_shape)
        n_steps = options.steps if name.startswith("784") else max(1, options.steps // 5)
        for rule in options.rules:
            cases = {
                case: Case(_times(run, n_steps), {"network": name, "rule": rule, "batch": BATCH})
                for case, run in _loops(model, splits, rule).items()
            }
            compare(
                "single",
                cases,
                baseline="resident",
                unit="images/s",
                repeats=options.repeats,
                out=options.out,
                clock="cpu",
            )


def _loops(model: Model, splits: Splits, rule: str) -> dict[str, Callable[[int], int]]:
    def plain() -> nn.Module:
        return model.plain(splits.n_inputs, splits.n_outputs)

    return {
        "resident": resident_loop(plain(), splits, BATCH, rule),
        "tutorial": tutorial_loop(plain(), splits, BATCH, rule),
        "lane exact": pack_loop(model, splits, BATCH, rule, lanes=1, precision="exact"),
        "lane fast": pack_loop(model, splits, BATCH, rule, lanes=1, precision="fast"),
    }


def _times(run: Callable[[int], int], n_steps: int) -> Callable[[], float]:
    return lambda: run(n_steps)


if __name__ == "__main__":
    main()
