"""How soon does the API answer while trials are trained?

Get-study and list-trials (random pages of 100, and the best 100) of a study of 10,000 finished
trials, while four processes claim and report as real trainers do, by the verbs against the same
database: 32 lanes each, an epoch of all of them every half second. Three loads on one server:

``open``
    so many requests a second whatever the server does (an open loop: a late answer delays no
    request, and its time counts from when it was due), with the workers reporting;
``idle``
    the same load with no worker reporting: the baseline;
``closed``
    eight clients that ask again at once, with the workers reporting: the most it answers.

``optuna`` is what plain Optuna needs to read the same trials: ``load_study`` and ``trials``.

    python -m benchmarks.bench_api [--databases sqlite,postgresql] [--trials 10000] [--epochs 20]
        [--rate 200] [--seconds 20] [--report-every 0.5] [--out FILE]

Everything shares the machine's cores, the load generator and the workers too; ``server_cpu``,
``load_cpu`` and ``worker_cpu`` are cores that the server, the generator and all workers used.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import optuna

from benchmarks.api_load import LANES, N_CLIENTS, N_WORKERS, NAME, TOKEN
from benchmarks.filling import fill
from benchmarks.harness import emit, environment
from hpsearch.storage.database import Database
from hpsearch.storage.schema import upgrade
from hpsearch.studies.read import get_study
from tests.services.postgres import postgres_server
from tests.services.redis import own_redis
from tests.services.sockets import free_port
from tests.studies import past_preflight, stored

PART = (sys.executable, "-m", "benchmarks.api_load")
SPACE: dict[str, Any] = {
    "model": {"family": "mlp", "hidden_units": {"low": 8, "high": 512, "log": True}},
    "optimizer": {
        "name": "sgd",
        "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
        "momentum": {"low": 0.0, "high": 0.99},
        "l2": {"low": 1e-6, "high": 1.0, "log": True},
    },
    "limits": {"max_trials": 1_000_000},
}


@contextmanager
def served(url: str, redis_url: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Run the API as a process of its own; yields its port and its pid."""
    port = free_port()
    settings = {
        "HPSEARCH_DATABASE_URL": url,
        "HPSEARCH_REDIS_URL": redis_url,
        "HPSEARCH_DATA_DIR": str(folder),
        "HPSEARCH_TOKEN": TOKEN,
        "HPSEARCH_PORT": str(port),
    }
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hpsearch.api"],
            env={**os.environ, **settings},  # noqa: TID251 - a child's whole environment
            stderr=log,
            stdout=log,
        )
    try:
        _until(lambda: _is_ready(port), "the server answers")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


def _until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


@contextmanager
def working(url: str, uuid: str, every_s: float) -> Iterator[list[int]]:
    """Let the workers work; yields their pids."""
    workers = [
        subprocess.Popen([*PART, "work", url, uuid, str(number), str(every_s)])
        for number in range(N_WORKERS)
    ]
    try:
        _until(lambda: _n_running(url) >= N_WORKERS * LANES, "all workers train")
        yield [worker.pid for worker in workers]
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(20)


def _n_running(url: str) -> int:
    database = Database(url)
    try:
        return get_study(database, NAME).counts.running
    finally:
        database.dispose()


def measured(
    port: int, server: int, workers: list[int], n_trials: int, rate: float | None, seconds: float
) -> dict[str, Any]:
    """Return what one load of the server came to."""
    command = [*PART, "ask", str(port), str(n_trials), str(rate or 0), str(seconds)]
    before = _cpu_s([server]), _cpu_s(workers), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = _cpu_s([server]), _cpu_s(workers), time.perf_counter()
    took_s = after[2] - before[2]
    found: dict[str, Any] = json.loads(done.stdout)
    n = found["requests"]
    return {
        **found,
        "server_cpu": round((after[0] - before[0]) / took_s, 3),
        "server_cpu_ms_a_request": round(1000 * (after[0] - before[0]) / n, 2),
        "worker_cpu": round((after[1] - before[1]) / took_s, 3),
    }


def _cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def optuna_s(url: str) -> float:
    """Return how long plain Optuna takes to read all trials, in seconds."""
    started = time.perf_counter()
    study = optuna.load_study(study_name=NAME, storage=url)
    assert study.trials
    took_s = time.perf_counter() - started
    study._storage.remove_session()
    return took_s


def bench(kind: str, url: str, redis_url: str, folder: Path, options: argparse.Namespace) -> None:
    """Fill a database, load a server on it and print one JSON line a load."""
    upgrade(url)
    database = Database(url)
    hand = stored(database, NAME, **SPACE)
    past_preflight(database, NAME)
    fill(database, hand, options.trials, options.epochs)
    database.dispose()
    settings = {
        "question": "how soon does the API answer while trials are trained",
        "database": kind,
        "finished": options.trials,
        "epochs": options.epochs,
        "cores": os.cpu_count(),
    }

    def tell(name: str, facts: dict[str, Any]) -> None:
        emit({**settings, "name": name, **facts, **environment()}, options.out)

    n = options.trials
    tell("optuna", {"seconds_to_read_all": round(optuna_s(url), 2)})
    with served(url, redis_url, folder) as (port, pid):
        measured(port, pid, [], n, options.rate, 3)  # warms up
        asked = {"rate": options.rate, "workers": 0}
        tell("idle", {**asked, **measured(port, pid, [], n, options.rate, options.seconds)})
        with working(url, hand.uuid, options.report_every) as pids:
            asked = {"workers": N_WORKERS, "lanes": LANES, "report_every_s": options.report_every}
            found = measured(port, pid, pids, n, options.rate, options.seconds)
            tell("open", {"rate": options.rate, **asked, **found})
            found = measured(port, pid, pids, n, None, options.seconds)
            tell("closed", {"clients": N_CLIENTS, **asked, **found})


def main() -> None:
    """Load a server on each kind of database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--report-every", type=float, default=0.5, help="of each worker, s")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for kind in options.databases.split(","):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            redis_url = stack.enter_context(own_redis()).url
            url = f"sqlite:///{folder / 'search.db'}"
            if kind == "postgresql":
                url = stack.enter_context(postgres_server(None)).create()
            bench(kind, url, redis_url, folder, options)


if __name__ == "__main__":
    main()
