"""What does training together bring? Packs of K lanes against K trials one after another.

    python -m benchmarks.bench_pack FOLDER [--core 0] [--lanes 1 2 4 8 16] [--out FILE]

FOLDER holds the MNIST files. Baseline of the ratios is the plain resident loop, one trial after
another; beside it, one process per trial, all at once on the same core. ``peak_share`` is the
share of the speed of one large product, measured first.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import Case, compare, emit, environment, pin
from benchmarks.loops import images, pack_loop, resident_loop
from hpsearch.models.base import Model
from hpsearch.models.mlp import Mlp

BATCH = 100
MNIST = 54_000  # training examples of an epoch, 10 % being kept for validation
PROCESS_S = 2.0  # each process trains for so long
NETWORKS: dict[str, Model] = {
    "784-128-10": Mlp(hidden_units=(128,)),
    "784-500-300-10": Mlp(hidden_units=(500, 300)),
}


def main() -> None:
    """Compare every network, rule and number of lanes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--core", type=int)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40, help="of one lane; fewer of more lanes")
    parser.add_argument("--lanes", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--rules", nargs="*", default=["sgd"])
    parser.add_argument("--processes", type=int, nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pin(options.core)
    splits = images(options.folder, train_fraction=0.2)
    peak = peak_flops()
    for name in options.networks:
        model = NETWORKS[name]
        per_image = 6 * _products(model) - 2 * _first(model)
        for rule in options.rules:
            facts = {"network": name, "rule": rule, "batch": BATCH, "peak_gflops": peak / 1e9}
            plain = model.plain(splits.n_inputs, splits.n_outputs)
            resident = resident_loop(plain, splits, BATCH, rule)
            cases = {"resident": Case(_times(resident, options.steps), facts)}
            for precision in ("exact", "fast"):
                for lanes in options.lanes:
                    run = pack_loop(model, splits, BATCH, rule, lanes=lanes, precision=precision)
                    steps = max(4, options.steps // lanes)
                    settings = {**facts, "precision": precision, "lanes": lanes}
                    cases[f"{precision} {lanes}"] = Case(_times(run, steps), settings)
            lines = compare(
                "pack",
                cases,
                baseline="resident",
                unit="images x trials/s",
                repeats=options.repeats,
                out=options.out,
                clock="cpu",
                derive=_derived(per_image, peak),
            )
            for n in options.processes:
                rate = one_process_per_trial(n, options.folder, name, rule, options.core)
                line = {"question": "pack", "name": f"{n} processes", **facts, "median": rate}
                line["ratio"] = round(rate / float(lines["resident"]["median"]), 3)
                emit({**line, "unit": "images x trials/s", **environment()}, options.out)


def peak_flops() -> float:
    """Return the speed of one large float32 product on this core, the best of several."""
    a, b = torch.randn(768, 768), torch.randn(768, 768)
    best = 0.0
    for _ in range(20):
        started = time.process_time()
        torch.mm(a, b)
        best = max(best, 2 * 768**3 / (time.process_time() - started))
    return best


def one_process_per_trial(n: int, folder: str, network: str, rule: str, core: int | None) -> float:
    """Return the images per second of n processes together, their start not counted."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(n), context.Queue()
    arguments = (barrier, results, folder, network, rule, core)
    children = [context.Process(target=_one_trial, args=arguments) for _ in range(n)]
    for child in children:
        child.start()
    rates = [float(results.get()) for _ in children]
    for child in children:
        child.join()
    return sum(rates)


def _one_trial(
    barrier: Barrier, results: Any, folder: str, network: str, rule: str, core: int | None
) -> None:
    pin(core)
    splits = images(folder, train_fraction=0.2)
    plain = NETWORKS[network].plain(splits.n_inputs, splits.n_outputs)
    run = resident_loop(plain, splits, BATCH, rule)
    run(5)
    barrier.wait()
    started, seen = time.perf_counter(), 0
    while time.perf_counter() - started < PROCESS_S:
        seen += run(5)
    results.put(seen / (time.perf_counter() - started))


def _products(model: Model) -> int:
    """Return multiply-adds of a forward pass of one example."""
    return sum(s[0] * s[1] for s in model.shapes(784, 10).values() if len(s) == 2)


def _first(model: Model) -> int:
    """Return those of the first layer, whose input needs no gradient."""
    first = next(iter(model.shapes(784, 10).values()))
    return first[0] * first[1]


def _derived(per_image: int, peak: float) -> Callable[[float], dict[str, float]]:
    return lambda rate: {
        "peak_share": round(rate * per_image / peak, 3),
        "trial_epochs_per_hour": round(3600 * rate / MNIST),
    }


def _times(run: Callable[[int], int], n_steps: int) -> Callable[[], float]:
    return lambda: run(n_steps)


if __name__ == "__main__":
    main()
