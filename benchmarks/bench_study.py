"""How long does a whole search take? The service against the shell loop people write today.

    python -m benchmarks.bench_study FOLDER [--trials 32] [--epochs 20] [--train-fraction 1]
        [--precision exact fast] [--lanes auto 1] [--shell-epochs 2] [--core 0] [--out FILE]

The study is the classic random search on MNIST (FOLDER holds ``mnist/``), end to end: start of
the service, submission, training, end. The shell loop starts a process per trial, which imports
torch, reads the data and trains by the tutorial's loop. One trial of it is run for each kind of
network in the space, for a few epochs; from their start and their epochs the whole is worked out,
each kind weighted as often as the search draws it. Everything runs on one core. Early stopping is
off, so that all train as much.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks.harness import ROOT, emit, environment, pin

KINDS = {  # widths, and how often a random search draws them
    "128": 1 / 4,
    "256": 1 / 4,
    "128,128": 1 / 8,
    "128,256": 1 / 8,
    "256,128": 1 / 8,
    "256,256": 1 / 8,
}
TRIAL = """
import sys, time
from benchmarks.harness import pin
pin(None)
from benchmarks.loops import images, tutorial_loop
from hpsearch.models.mlp import Mlp
splits = images(sys.argv[1], train_fraction=float(sys.argv[2]))
widths = tuple(int(width) for width in sys.argv[4].split(","))
network = Mlp(hidden_units=widths).plain(splits.n_inputs, splits.n_outputs)
run = tutorial_loop(network, splits, 50, "sgd")
begun = time.perf_counter(), time.process_time()
for _ in range(int(sys.argv[3])):
    run(10**9)
print(time.perf_counter() - begun[0], time.process_time() - begun[1])
"""


def main() -> None:
    """Time the service with one lane and with as many as pay, then the shell loop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--train-fraction", type=float, default=1.0)
    parser.add_argument("--precision", nargs="*", default=["exact", "fast"])
    parser.add_argument("--lanes", nargs="*", default=["auto", "1"])
    parser.add_argument("--shell-epochs", type=int, default=2)
    parser.add_argument("--core", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pin(options.core)  # children inherit it
    facts = {
        "question": "study",
        "trials": options.trials,
        "epochs": options.epochs,
        "train_fraction": options.train_fraction,
    }
    wall_s, cpu_s = shell_loop(options)
    line = {**facts, "name": "shell loop", "wall_s": round(wall_s, 1), "cpu_s": round(cpu_s, 1)}
    measured = f"{len(KINDS)} trials of {options.shell_epochs} epochs, the rest extrapolated"
    emit({**line, "measured": measured, **environment()}, options.out)
    for precision in options.precision:
        for lanes in options.lanes:
            before = children_cpu_s()
            mine_s = service(options, precision, lanes if lanes == "auto" else int(lanes))
            mine_cpu_s = children_cpu_s() - before
            line = {
                **facts,
                "name": f"service {precision} {lanes}",
                "wall_s": round(mine_s, 1),
                "cpu_s": round(mine_cpu_s, 1),
                "wall_ratio": round(wall_s / mine_s, 2),
                "cpu_ratio": round(cpu_s / mine_cpu_s, 2),
            }
            emit({**line, **environment()}, options.out)


def children_cpu_s() -> float:
    """Return the processor time of all ended children: what counts where others compute too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def shell_loop(options: argparse.Namespace) -> tuple[float, float]:
    """Return wall and processor seconds of a process per trial, one after another."""
    wall_s = cpu_s = 0.0
    for widths, share in KINDS.items():
        command = [sys.executable, "-c", TRIAL, str(options.folder)]
        command += [str(options.train_fraction), str(options.shell_epochs), widths]
        cpu, started = children_cpu_s(), time.perf_counter()
        done = subprocess.run(
            command, check=True, cwd=ROOT, env=_environment(), capture_output=True, text=True
        )
        seconds = time.perf_counter() - started, children_cpu_s() - cpu
        epochs = [float(number) for number in done.stdout.split()]
        more = options.epochs / options.shell_epochs - 1
        wall_s += options.trials * share * (seconds[0] + more * epochs[0])
        cpu_s += options.trials * share * (seconds[1] + more * epochs[1])
    return wall_s, cpu_s


def service(options: argparse.Namespace, precision: str, lanes: int | str) -> float:
    """Return the seconds of the same search by the service, its start included."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study.yaml"
        with study.open("w") as file:
            YAML().dump(_definition(options, precision, lanes), file)
        environment_ = _environment() | {
            "HPSEARCH_DATA_DIR": str(Path(folder) / "data"),
            "HPSEARCH_DATASETS_DIR": str(options.folder),
            "HPSEARCH_DEVICES": "cpu:1",
            "HPSEARCH_LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "-P", "-c", "from hpsearch.cli.main import main; main()"]
        started = time.perf_counter()
        subprocess.run(
            [*command, "run", str(study)],
            check=True,
            cwd=ROOT,
            env=environment_,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return time.perf_counter() - started


def _definition(
    options: argparse.Namespace, precision: str, lanes: int | str
) -> dict[str, object]:
    return {
        "name": "mnist-random",
        "dataset": {
            "name": "mnist",
            "validation_fraction": 0.08333,
            "train_fraction": options.train_fraction,
            "normalize": "none",
        },
        "model": {
            "family": "mlp",
            "hidden_layers": {"low": 1, "high": 2},
            "hidden_units": {"choices": [128, 256]},
            "init": "normal",
            "init_scale": 0.05,
        },
        "optimizer": {
            "name": "sgd",
            "learning_rate": {"low": 1e-6, "high": 1e-1, "log": True},
            "momentum": {"low": 0.5, "high": 0.999, "log": True},
            "l2": {"low": 1e-4, "high": 1e-2, "log": True},
        },
        "training": {"epochs": options.epochs, "batch_size": 50},
        "objectives": [{"metric": "val_accuracy"}],
        "sampler": {"name": "random"},
        "limits": {"max_trials": options.trials},
        "execution": {"precision": precision, "lanes": lanes},
    }


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}  # noqa: TID251 - handed on to children


if __name__ == "__main__":
    main()
