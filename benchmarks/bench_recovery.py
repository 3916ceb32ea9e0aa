"""How soon does training go on after a death, and does a warm trainer's memory stay flat?

    .venv/bin/python -m benchmarks.bench_recovery --deaths 10 --turns 1000

Deaths: one worker with one trainer on SQLite; its trainer is killed while trials run, several
times. Noticed: the listener's log says so. Going on: an attempt that began after the death has
recorded an epoch; beside it the processor time of the new trainer until then, which is what it
takes on an idle machine. Then SIGTERM: until every process has left, with how many trials saved.
Memory: one trainer takes many turns of one tiny study each.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from sqlalchemy import select

from benchmarks.harness import emit, environment
from hpsearch.catalog import installed_catalog
from hpsearch.logs import configure_logs
from hpsearch.spec.definition import parse_definition
from hpsearch.spec.findings import PreflightView
from hpsearch.storage import studies, tables
from hpsearch.storage.database import Database
from hpsearch.storage.schema import upgrade
from hpsearch.studies.create import create_study
from hpsearch.studies.preflight import record_preflight
from hpsearch.turn import TurnRunner

WITHIN_S = 120.0
STEADY_AFTER = 0.3  # of the turns: caches fill first, the largest holds 256 definitions
MB = 2**20


def begin(database: Database, name: str, epochs: int, max_trials: int) -> None:
    document = {
        "name": name,
        "dataset": {"name": "digits", "train_fraction": 0.3},
        "model": {"family": "mlp", "hidden_units": {"low": 4, "high": 64}},
        "optimizer": {"name": "sgd", "learning_rate": {"low": 1e-4, "high": 0.1, "log": True}},
        "training": {"epochs": epochs, "batch_size": 32},
        "sampler": {"name": "random"},
        "limits": {"max_trials": max_trials, "max_attempts": 10},
    }
    create_study(database, parse_definition(document, installed_catalog()))
    with database.read() as tx:
        uuid = studies.get_study(tx, name).uuid
    record_preflight(database, uuid, PreflightView("cpu", 0.0, datetime.now(UTC), ()))


def until(is_so: Callable[[], object], what: str) -> float:
    """Return how long it took."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > WITHIN_S:
            raise TimeoutError(what)
        time.sleep(0.005)
    return time.monotonic() - began


def has_trained_since(database: Database, at: datetime) -> bool:
    query = (
        select(tables.attempts.c.attempt_id)
        .join(tables.trials, tables.trials.c.trial_id == tables.attempts.c.trial_id)
        .where(tables.attempts.c.state == "RUNNING", tables.attempts.c.started_at > at)
        .where(tables.attempts.c.device_seconds > 0)
    )
    with database.read() as tx:
        return tx.execute(query).first() is not None


def trainer_of(supervisor: int) -> int | None:
    listing = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in listing.stdout.splitlines()[1:]]
    listeners = {row[0] for row in rows if row[1] == str(supervisor)}
    found = [row[0] for row in rows if row[1] in listeners and "worker.trainer" in row[2]]
    return int(found[0]) if found else None


def processor_s(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def deaths(n: int, folder: Path) -> dict[str, object]:
    url = f"sqlite:///{folder / 'hpsearch.db'}"
    upgrade(url)
    database = Database(url)
    begin(database, "long", epochs=100_000, max_trials=4)
    log = folder / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "hpsearch.worker"],
            env={
                **os.environ,  # noqa: TID251 - what a shell would hand down
                "HPSEARCH_DATA_DIR": str(folder),
                "HPSEARCH_DEVICES": "cpu:1",
                "HPSEARCH_CHECKPOINT_S": "0.5",
                "HPSEARCH_REDIS_URL": f"unix://{folder}/none.sock",
            },
            stdout=output,
            stderr=output,
        )
    noticed, going_on, processor = [], [], []
    start = datetime.now(UTC)
    until(lambda: has_trained_since(database, start), "the first epoch")
    for i in range(n):
        time.sleep(1.5)
        pid = trainer_of(worker.pid)
        if pid is None:
            raise RuntimeError("no trainer")
        at = datetime.now(UTC)
        os.kill(pid, signal.SIGKILL)
        seen = lambda i=i: log.read_text().count("trainer_died") > i  # noqa: E731
        noticed.append(until(seen, "noticed"))
        going_on.append(noticed[-1] + until(lambda at=at: has_trained_since(database, at), "on"))
        processor.append(processor_s(trainer_of(worker.pid)))
    worker.terminate()
    began = time.monotonic()
    worker.wait(30)
    left_s = time.monotonic() - began
    with database.read() as tx:
        rows = tx.execute(select(tables.trials.c.checkpoint, tables.trials.c.epochs)).all()
        states = [row.state.name for row in tx.execute(select(tables.optuna_trials.c.state))]
    database.dispose()
    return {
        "n_deaths": n,
        "noticed_s": summary(noticed),
        "training_again_s": summary(going_on),
        "processor_s": summary(processor),
        "sigterm_left_after_s": round(left_s, 3),
        "trials_waiting": states.count("WAITING"),
        "saved_at_their_last_epoch": sum(
            row.checkpoint is not None and row.checkpoint["epoch"] == row.epochs for row in rows
        ),
    }


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "max": round(max(values), 3),
    }


def memory(n_turns: int, folder: Path) -> dict[str, object]:
    url = f"sqlite:///{folder / 'turns.db'}"
    upgrade(url)
    database = Database(url)
    runner = TurnRunner(
        database,
        worker="bench",
        device="cpu",
        datasets_dir=folder,
        artifacts_dir=folder / "artifacts",
        lease_s=30.0,
        turn_s=60.0,
    )
    resident = []
    for turn in range(n_turns):
        begin(database, f"s{turn}", epochs=1, max_trials=2)
        runner.run(None, lambda: False)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE") / MB)
    database.dispose()
    steady = resident[int(n_turns * STEADY_AFTER) :]
    slope, _ = statistics.linear_regression(range(len(steady)), steady)
    return {
        "n_turns": n_turns,
        "mb_after_warm_up": round(steady[0], 1),
        "mb_at_the_end": round(steady[-1], 1),
        "kb_per_turn": round(slope * 1024, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deaths", type=int, default=10)
    parser.add_argument("--turns", type=int, default=1000)
    options = parser.parse_args()
    configure_logs("ERROR", "console")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        record: dict[str, object] = {"benchmark": "recovery", **environment()}
        if options.deaths:
            record["deaths"] = deaths(options.deaths, Path(name))
        if options.turns:
            record["memory"] = memory(options.turns, Path(name))
        emit(record, None)


if __name__ == "__main__":
    main()
