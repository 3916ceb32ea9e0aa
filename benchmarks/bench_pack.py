"""What does training together bring? Packs of K lanes against K trials one after another.

    python -m benchmarks.bench_pack FOLDER [--core 0] [--lanes 1 2 4 8 16]
        [--processes 8] [--trainers 0 1] [--out FILE]
    python -m benchmarks.bench_pack FOLDER --device cuda [--out FILE]

FOLDER holds the MNIST files. Baseline of the ratios is the plain resident loop, one trial after
another. ``--processes`` measures one process per trial, all at once on the same core, too, and
``--trainers`` packs on several cores against a pack on one: both want a quiet machine.
Cores that share a clock, or a host with neighbours, are worth less than their number, so trainers
are compared with a ceiling measured in the same rounds: processes that only repeat a product whose
matrices fit into the core's own cache. ``ratio_of_ceiling`` is what is left for us to answer for.
``peak_share`` is the share of the speed of one large product, measured first.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.crew import Crew, Member, Work
from benchmarks.harness import Case, compare, emit, environment, pin
from benchmarks.loops import images, pack_loop, resident_loop
from hpsearch.layers.products import Products
from hpsearch.models.base import Model
from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.training.engine import Precision, matmul_precision

BATCH = 100
MNIST = 54_000  # training examples of an epoch, 10 % being kept for validation
PROCESS_S = 2.0  # each process trains for so long
IN_CACHE = 256  # rows and columns of matrices of which three fit into a core's own megabyte
NETWORKS: dict[str, Model] = {
    "784-128-10": Mlp(hidden_units=(128,)),
    "784-500-300-10": Mlp(hidden_units=(500, 300)),
    "rnn-128-rows": Recurrent(cell="vanilla", hidden_units=128, steps=28),
    "gru-128-rows": Recurrent(cell="gru", hidden_units=128, steps=28),
    "lstm-128-rows": Recurrent(cell="lstm", hidden_units=128, steps=28),
}
DEFAULT = ["784-128-10", "784-500-300-10"]
CPU_LANES = (1, 2, 4, 8, 16)
GPU_LANES = (1, 4, 16, 64, 128, 256, 1024)
GPU_STEPS = 96  # every kind of step has been recorded after one round of them


def main() -> None:
    """Compare every network, rule and number of lanes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--core", type=int)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40, help="of one lane; fewer of more lanes")
    parser.add_argument("--lanes", type=int, nargs="*")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--networks", nargs="*", default=DEFAULT)
    parser.add_argument("--rules", nargs="*", default=["sgd"])
    parser.add_argument("--processes", type=int, nargs="*", default=[], help="one per trial")
    parser.add_argument("--trainers", type=int, nargs="*", default=[], help="their cores")
    parser.add_argument("--trainer-lanes", type=int, nargs="*", default=[8])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pin(options.core)
    on_cpu, where = options.device == "cpu", options.device
    counts = options.lanes or (CPU_LANES if on_cpu else GPU_LANES)
    splits = images(options.folder, train_fraction=0.2)
    peak = peak_flops() if on_cpu else gpu_peak_flops()
    for name in options.networks:
        model = NETWORKS[name]
        per_image = 6 * _products(model) - 2 * _first(model)
        for rule in options.rules:
            facts = {"network": name, "rule": rule, "batch": BATCH, "peak_gflops": peak / 1e9}
            facts |= {} if on_cpu else {"device": torch.cuda.get_device_name()}
            plain = model.plain(splits.n_inputs, splits.n_outputs)
            resident = resident_loop(plain, splits, BATCH, rule, where)
            cases = {"resident": Case(_times(resident, options.steps), facts)}
            for precision in ("exact", "fast"):
                for lanes in counts:
                    run = pack_loop(
                        model, splits, BATCH, rule, lanes=lanes, precision=precision, device=where
                    )
                    steps = max(4, options.steps // lanes) if on_cpu else GPU_STEPS
                    settings = {**facts, "precision": precision, "lanes": lanes}
                    cases[f"{precision} {lanes}"] = Case(_times(run, steps), settings)
            compare(
                "pack",
                cases,
                baseline="resident",
                unit="images x trials/s",
                repeats=options.repeats,
                out=options.out,
                clock="cpu" if on_cpu else "wall",
                derive=_derived(per_image, peak),
            )
            side_by_side(options, name, rule)


def peak_flops() -> float:
    """Return the speed of one large float32 product on this core, the best of several.

    It goes to the library that the engine uses: torch's own choice reaches half of it on some
    processors.
    """
    a, b = torch.randn(1, 768, 768), torch.randn(768, 768)
    products, best = Products(is_exact=True), 0.0
    products.forward(a, b)
    for _ in range(40):
        started = time.process_time()
        products.forward(a, b)
        best = max(best, 2 * 768**3 / (time.process_time() - started))
    return best


def gpu_peak_flops() -> float:
    """Return the speed of one large float32 product on the GPU, without tf32."""
    a, b = torch.randn(8192, 8192, device="cuda"), torch.randn(8192, 8192, device="cuda")
    best = 0.0
    with matmul_precision("exact", a.device):
        for _ in range(5):
            torch.cuda.synchronize()
            started = time.perf_counter()
            torch.mm(a, b)
            torch.cuda.synchronize()
            best = max(best, 2 * 8192**3 / (time.perf_counter() - started))
    return best


def side_by_side(options: argparse.Namespace, name: str, rule: str) -> None:
    """Compare processes: one per trial on one core, and trainers on cores of their own."""
    where = (options.folder, name, rule)
    facts = {"network": name, "rule": rule, "batch": BATCH, "clock": "wall"}
    for n in options.processes:
        plain = [(options.core, plain_trial, where)] * n
        packs = [(options.core, pack_trial, (*where, n, p)) for p in ("exact", "fast")]
        with Crew([*plain, *packs]) as crew:
            cases = {
                "resident": [0],
                f"{n} processes": list(range(n)),
                f"exact {n}": [n],
                f"fast {n}": [n + 1],
            }
            _in_turn(crew, cases, {**facts, "lanes": n}, options)
    for precision in ("exact", "fast"):
        for lanes in options.trainer_lanes if len(options.trainers) > 1 else ():
            crew_of = [(core, pack_trial, (*where, lanes, precision)) for core in options.trainers]
            n = len(crew_of)
            threaded = (None, threaded_trial, (options.trainers, *where, lanes, precision))
            products: list[Member] = [(core, product_in_cache, ()) for core in options.trainers]
            with Crew([*crew_of, threaded, *products]) as crew:
                cases = {
                    "1 trainer": [0],
                    f"{n} trainers": list(range(n)),
                    f"1 trainer of {n} threads": [n],
                }
                ceiling = {
                    "1 product": [n + 1],
                    f"{n} products": list(range(n + 1, 2 * n + 1)),
                }
                settings = {**facts, "precision": precision, "lanes": lanes}
                _in_turn(crew, cases, settings, options, ceiling)


def _in_turn(
    crew: Crew,
    cases: Mapping[str, Sequence[int]],
    facts: Mapping[str, Any],
    options: argparse.Namespace,
    ceiling: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Run the cases in turn and emit a line each.

    Args:
        crew: Who works.
        cases: Members by name; the first case is the baseline.
        facts: For every line.
        options: Say how often, and where the lines go.
        ceiling: Cases of nothing but arithmetic, the first being their baseline; the last says
            what the members of the other cases could be worth at best.
    """
    groups = [cases] if ceiling is None else [cases, ceiling]
    rates: dict[str, list[float]] = {name: [] for group in groups for name in group}
    for _ in range(options.repeats):
        for group in groups:
            for name, members in group.items():
                rates[name].append(crew.rate(members, PROCESS_S))
    ratios = {
        name: [a / b for a, b in zip(rates[name], rates[next(iter(group))], strict=True)]
        for group in groups
        for name in group
    }
    best = [] if ceiling is None else ratios[list(ceiling)[-1]]
    for group in groups:
        for name in group:
            line = {
                "question": "processes",
                "name": name,
                **facts,
                "median": round(statistics.median(rates[name])),
                "unit": "images x trials/s" if group is cases else "products/s",
                "n": options.repeats,
                "baseline": next(iter(group)),
                "ratio": round(statistics.median(ratios[name]), 3),
                "ratio_min": round(min(ratios[name]), 3),
                "ratio_max": round(max(ratios[name]), 3),
            }
            if best and group is cases and len(group[name]) > 1:
                shares = [a / b for a, b in zip(ratios[name], best, strict=True)]
                line["ceiling"] = round(statistics.median(best), 3)
                line["ratio_of_ceiling"] = round(statistics.median(shares), 3)
            emit({**line, **environment()}, options.out)


def product_in_cache() -> Work:
    """Return a loop of one product by the library the engine uses, out of the core's own cache."""
    a, b = torch.randn(1, IN_CACHE, IN_CACHE), torch.randn(IN_CACHE, IN_CACHE)
    products = Products(is_exact=True)

    def run(n_steps: int) -> int:
        for _ in range(n_steps):
            products.forward(a, b)
        return n_steps

    return run


def plain_trial(folder: str, network: str, rule: str) -> Work:
    """Return the plain resident loop of one trial."""
    splits = images(folder, train_fraction=0.2)
    plain = NETWORKS[network].plain(splits.n_inputs, splits.n_outputs)
    return resident_loop(plain, splits, BATCH, rule)


def pack_trial(folder: str, network: str, rule: str, lanes: int, precision: Precision) -> Work:
    """Return the loop of a pack."""
    splits = images(folder, train_fraction=0.2)
    return pack_loop(NETWORKS[network], splits, BATCH, rule, lanes=lanes, precision=precision)


def threaded_trial(
    cores: Sequence[int], folder: str, network: str, rule: str, lanes: int, precision: Precision
) -> Work:
    """Return the loop of a pack with a thread for each of the cores."""
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))
    return pack_trial(folder, network, rule, lanes, precision)


def _products(model: Model) -> int:
    """Return multiply-adds of a forward pass of one example."""
    return sum(_matrices(model))


def _first(model: Model) -> int:
    """Return those of the first layer, whose input needs no gradient."""
    return _matrices(model)[0]


def _matrices(model: Model) -> list[int]:
    steps = model.steps or 1 if isinstance(model, Recurrent) else 1
    return [
        shape[0] * shape[1] * (steps if name.startswith("rnn.") else 1)
        for name, shape in model.shapes(784, 10).items()
        if len(shape) == 2
    ]


def _derived(per_image: int, peak: float) -> Callable[[float], dict[str, float]]:
    return lambda rate: {
        "peak_share": round(rate * per_image / peak, 3),
        "trial_epochs_per_hour": round(3600 * rate / MNIST),
    }


def _times(run: Callable[[int], int], n_steps: int) -> Callable[[], float]:
    return lambda: run(n_steps)


if __name__ == "__main__":
    main()
