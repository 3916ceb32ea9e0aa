"""Does the search find good settings sooner? Best validation accuracy against trained epochs.

    HPSEARCH_DATASETS_DIR=... .venv/bin/python -m benchmarks.bench_search --dataset mnist

Six searches are compared on one space: random and tpe alone, with hyperband, with successive
halving, with the median rule; each as a study of this product with four trials at once, and as
plain ``optuna.study.optimize`` with the same settings, one trial after the other, trained by the
same engine. The yardstick is the random search of 20 epochs each: how many epochs do the others
take to its final accuracy?
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy import select

from benchmarks.harness import ROOT, emit, environment, pin
from benchmarks.tabular import NAMES as TABLES
from hpsearch.catalog import installed_catalog
from hpsearch.datasets.base import REGISTRY as DATASETS
from hpsearch.datasets.splits import Splits, split
from hpsearch.logs import configure_logs
from hpsearch.sampling.optuna_sampler import trial_seed
from hpsearch.settings import Settings
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.space import FloatDomain, IntDomain
from hpsearch.storage import tables
from hpsearch.storage.database import Database
from hpsearch.storage.schema import upgrade
from hpsearch.studies.create import create_study
from hpsearch.training import run
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import Boundary, Goal, LaneSpec, Reply
from hpsearch.turn import TurnRunner

EPOCHS = 20
TRAIN_FRACTIONS = {"mnist": 0.1852, "fashion_mnist": 0.1852}  # 10,000 of 54,000 images


@dataclass(frozen=True)
class Search:
    """One way to search; ``n_times`` as many trials as random, since pruned ones are shorter.

    Halving stops three trials in four after one epoch: three times the trials take less than half
    of the random search's epochs, which is all the yardstick asks for.
    """

    sampler: str
    pruner: dict[str, Any]
    n_times: float = 1.0


SEARCHES = {
    "random": Search("random", {"name": "none"}),
    "tpe": Search("tpe", {"name": "none"}),
    "random+hyperband": Search("random", {"name": "hyperband"}, 2.5),
    "tpe+median": Search(
        "tpe", {"name": "median", "n_startup_trials": 5, "n_warmup_steps": 2}, 1.75
    ),
    "random+halving": Search("random", {"name": "successive_halving"}, 3.0),
    "tpe+halving": Search("tpe", {"name": "successive_halving"}, 3.0),
}


def define(dataset: str, search: Search, seed: int, n_trials: int) -> Definition:
    """Return the study: seven parameters of a perceptron and its optimizer."""
    return parse_definition(
        {
            "name": f"{search.sampler}-{search.pruner['name']}-{seed}",
            "seed": seed,
            "dataset": {
                "name": dataset,
                "train_fraction": TRAIN_FRACTIONS.get(dataset, 1.0),
                # of a few hundred rows a tenth would be too few to tell settings apart
                "validation_fraction": 0.3 if dataset in TABLES else 0.1,
            },
            "model": {
                "family": "mlp",
                "hidden_units": {"low": 8, "high": 64, "log": True},
                "activation": {"choices": ["relu", "tanh", "sigmoid"]},
            },
            "optimizer": {
                "name": "sgd",
                "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
                "momentum": {"low": 0.0, "high": 0.99},
                "nesterov": {"choices": [True, False]},
                "l2": {"low": 1e-6, "high": 1e-1, "log": True},
            },
            "training": {
                "epochs": EPOCHS,
                "batch_size": {"choices": [16, 32, 64] if dataset in TABLES else [64, 128, 256]},
            },
            "sampler": {"name": search.sampler},
            "pruner": search.pruner,
            "limits": {
                "max_trials": round(n_trials * search.n_times),
                "max_concurrent_trials": 4,
            },
        },
        installed_catalog(),
    )


def run_ours(definition: Definition, datasets_dir: Path) -> list[float]:
    """Return the validation accuracy of every epoch in the order they were reported."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/search.db"
        upgrade(url)
        database = Database(url)
        try:
            create_study(database, definition)
            runner = TurnRunner(
                database,
                worker="bench",
                device="cpu",
                datasets_dir=datasets_dir,
                artifacts_dir=Path(folder) / "artifacts",
                lease_s=30.0,
                turn_s=3600.0,
            )
            while runner.run(None, lambda: False).study is not None:
                pass
            columns = tables.epochs.c
            query = select(columns.metrics).order_by(
                columns.revision, columns.epoch, columns.trial_id
            )
            with database.read() as tx:
                return [metrics["val_accuracy"] for metrics in tx.execute(query).scalars()]
        finally:
            database.dispose()


def run_plain(definition: Definition, splits: Splits) -> list[float]:
    """Return the same of plain Optuna: ``study.optimize``, one trial after the other."""
    accuracies: list[float] = []
    space = definition.space
    goal = Goal(definition.goal_metric, definition.goal_direction)
    engine = Engine(splits, goal, definition.seed, lanes=1)

    def objective(trial: optuna.Trial) -> float:
        params = space.suggest(lambda name, domain: _suggest(trial, name, domain))
        lane = LaneSpec(trial.number, space.resolve(params))
        best, is_pruned, is_new = 0.0, False, True

        def boundary(boundary: Boundary) -> Reply:
            nonlocal best, is_pruned, is_new
            drop = set()
            for report in boundary.reports:
                for epoch in report.epochs:
                    accuracies.append(epoch.metrics["val_accuracy"])
                    best = max(best, accuracies[-1])
                    trial.report(accuracies[-1], epoch.epoch)
                    if report.end is None and trial.should_prune():
                        is_pruned = True
                        drop = {trial.number}
                        break
            admit, is_new = ((lane,) if is_new else ()), False
            return Reply(drop=frozenset(drop), admit=admit)

        engine.run(boundary, lambda: False)
        if is_pruned:
            raise optuna.TrialPruned
        return best

    study = optuna.create_study(
        direction="maximize", sampler=_sampler(definition), pruner=_pruner(definition)
    )
    study.optimize(objective, n_trials=definition.limits.max_trials)
    return accuracies


def _suggest(trial: optuna.Trial, name: str, domain: Any) -> Any:
    if isinstance(domain, FloatDomain):
        return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    if isinstance(domain, IntDomain):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    return trial.suggest_categorical(name, domain.choices)


def _sampler(definition: Definition) -> optuna.samplers.BaseSampler:
    seed = trial_seed(definition.seed, 0)
    if definition.document["sampler"]["name"] == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=10)


def _pruner(definition: Definition) -> optuna.pruners.BasePruner:
    settings = definition.document["pruner"]
    if settings["name"] == "hyperband":
        return optuna.pruners.HyperbandPruner(1, EPOCHS, 3)
    if settings["name"] == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1)
    if settings["name"] == "median":
        first = settings["n_warmup_steps"] + 1  # our epochs count from 1
        return optuna.pruners.MedianPruner(settings["n_startup_trials"], first)
    return optuna.pruners.NopPruner()


def best_so_far(accuracies: Sequence[float]) -> Iterator[float]:
    """Yield the best accuracy up to each epoch."""
    best = 0.0
    for accuracy in accuracies:
        best = max(best, accuracy)
        yield best


def rises(curve: Sequence[float]) -> list[tuple[int, float]]:
    """Return the epochs at which a curve rises, from 1, each with its value, and the last one."""
    found = [(i + 1, value) for i, value in enumerate(curve) if i == 0 or value > curve[i - 1]]
    return [*found, (len(curve), curve[-1])]


def summarise(
    dataset: str, curves: dict[tuple[str, str], list[list[float]]], budget: int, out: Path
) -> None:
    """Print one line a search and system: accuracies on the way, epochs to the yardstick."""
    goals = [curve[min(budget, len(curve)) - 1] for curve in curves["random", "ours"]]
    for (name, system), runs in curves.items():
        at = {
            f"at_{share}pct": round(
                statistics.median(
                    curve[min(len(curve), budget * share // 100) - 1] for curve in runs
                ),
                4,
            )
            for share in (10, 20, 50, 100)
        }
        needed = [
            next((i + 1 for i, value in enumerate(curve) if value >= goal), None)
            for curve, goal in zip(runs, goals, strict=True)
        ]
        reached = [n for n in needed if n is not None]
        emit(
            {
                "question": "search",
                "dataset": dataset,
                "name": name,
                "system": system,
                "budget_epochs": budget,
                "seeds": len(runs),
                **at,
                "epochs_to_random": needed,
                "median_share_of_budget": round(
                    statistics.median(n if n is not None else 2 * budget for n in needed) / budget,
                    3,
                ),
                "n_reached": len(reached),
                **environment(),
            },
            out,
        )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="mnist", choices=sorted(DATASETS))
    parser.add_argument("--trials", type=int, default=48, help="of the random search")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/search.jsonl")
    args = parser.parse_args()
    pin(args.core)
    run._BOUNDARY_S = 0.0  # these epochs are short: judge each alone, as long ones are
    configure_logs("WARNING", "console")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    datasets_dir = Settings().resolved_datasets_dir
    curves: dict[tuple[str, str], list[list[float]]] = {}
    for seed in range(args.seeds):
        for name, search in SEARCHES.items():
            definition = define(args.dataset, search, seed, args.trials)
            arrays = DATASETS[args.dataset]().load(datasets_dir)
            splits = split(arrays, definition.dataset, definition.task)
            for system, accuracies in (
                ("ours", run_ours(definition, datasets_dir)),
                ("optuna", run_plain(definition, splits)),
            ):
                curves.setdefault((name, system), []).append(list(best_so_far(accuracies)))
        with args.out.with_suffix(f".{args.dataset}.curves.json").open("w") as file:
            steps = {" ".join(key): [rises(run) for run in runs] for key, runs in curves.items()}
            json.dump(steps, file)
    summarise(args.dataset, curves, args.trials * EPOCHS, args.out)


if __name__ == "__main__":
    main()
