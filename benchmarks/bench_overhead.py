"""What does everything around a trial cost: claim, five judged reports, end?

The baseline is plain Optuna (``study.optimize``) on the same kind of database in the same run;
beside it the common set-up of one stock RQ job per trial. No trial trains anything.

    python -m benchmarks.bench_overhead [--trials 64] [--repeats 5] [--clock cpu] [--out FILE]

``--clock cpu`` counts this process alone, for a machine whose cores others use as well: neither
the database's own work nor the waiting for it, and no RQ, which works elsewhere.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import redis
import rq

from benchmarks import plain_optuna
from benchmarks.harness import Case, compare
from benchmarks.plain_optuna import N_PARAMS, N_STEPS
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.storage.database import Database
from hpsearch.storage.history import History
from hpsearch.storage.schema import upgrade
from hpsearch.studies.claim import Claimant, claim
from hpsearch.studies.compiled import compiled
from hpsearch.studies.judged import judged_study
from hpsearch.studies.report import TrialReport, report
from tests.services.postgres import postgres_server
from tests.services.redis import own_redis
from tests.studies import Hand, ended, epochs_of, stored

names = (f"study-{n}" for n in itertools.count())
ids = (f"{n:036d}" for n in itertools.count())
DATABASES = ("sqlite", "postgresql")
SPACE = {
    "model": {"family": "mlp", "hidden_units": 8},
    "optimizer": {
        "name": "sgd",
        **{
            name: {"low": 1e-5, "high": 0.9, "log": True}
            for name in ("learning_rate", "momentum", "l1", "l2")[:N_PARAMS]
        },
    },
    "pruner": {"name": "median", "n_startup_trials": 5, "n_warmup_steps": 1},
    "limits": {"max_trials": 1_000_000},
}


def ours(database: Database, pack: int, n_trials: int) -> Callable[[], float]:
    """Return a run of ``n_trials`` through the verbs, ``pack`` lanes at a time."""
    hand = stored(database, next(names), **SPACE)
    with database.read() as tx:
        from hpsearch.storage import studies

        found = studies.find_study(tx, hand.uuid)
    assert found is not None
    sampling = History(found.study_id)
    judged = judged_study(compiled(found), found.study_id)

    def run() -> float:
        for _ in range(n_trials // pack):
            _pack(hand, pack, sampling, judged)
        return float(n_trials)

    return run


def _pack(hand: Hand, n: int, sampling: History, judged: JudgedStudy) -> None:
    claimant = Claimant(hand.worker, "cpu", "exact", hand.lease_s)
    lanes = claim(hand.database, hand.uuid, n, next(ids), claimant, sampling)
    assert len(lanes) == n

    def send(reports: list[TrialReport]) -> None:
        report(hand.database, hand.uuid, reports, lease_s=hand.lease_s, judged=judged)

    for step in range(1, N_STEPS):
        send([epochs_of(lane, {step: step / N_STEPS}) for lane in lanes])
    send([ended(lane, 1.0, N_STEPS) for lane in lanes])


def optuna_alone(url: str, n_trials: int) -> Callable[[], float]:
    """Return a run of ``n_trials`` of ``study.optimize``."""
    study = plain_optuna.open_study(url, next(names))

    def run() -> float:
        study.optimize(plain_optuna.objective, n_trials=n_trials)
        return float(n_trials)

    return run


def stock_rq(url: str, redis_url: str, n_trials: int) -> Callable[[], float]:
    """Return a run of ``n_trials`` RQ jobs by a stock worker, one trial each."""
    name = next(names)
    plain_optuna.open_study(url, name)
    queue = rq.Queue("overhead", connection=redis.Redis.from_url(redis_url))
    command = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--quiet"]

    def run() -> float:
        for _ in range(n_trials):
            queue.enqueue(plain_optuna.one_trial, url, name, result_ttl=0)
        subprocess.run([*command, "--url", redis_url, "overhead"], check=True)
        return float(n_trials)

    return run


def main() -> None:
    """Measure both databases and print one JSON line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--database", choices=DATABASES, action="append")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    n = options.trials
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_server(None) as postgres,
        own_redis() as server,
    ):
        for kind in options.database or DATABASES:
            is_sqlite = kind == "sqlite"
            url = f"sqlite:///{folder}/ours.db" if is_sqlite else postgres.create()
            plain = f"sqlite:///{folder}/plain.db" if is_sqlite else postgres.create()
            upgrade(url)
            database = Database(url)
            settings = {
                "database": kind,
                "params": N_PARAMS,
                "reports": N_STEPS,
                "load": round(os.getloadavg()[0], 1),
            }
            cases = {"study.optimize": Case(optuna_alone(plain, n), settings)}
            if options.clock == "wall":
                by_rq = stock_rq(plain, server.tcp_url, n // 8)
                cases["one RQ job per trial"] = Case(by_rq, settings)
            for pack in (1, 32):
                cases[f"pack of {pack}"] = Case(
                    ours(database, pack, n), {**settings, "pack": pack}
                )
            compare(
                "what does everything around a trial cost",
                cases,
                baseline="study.optimize",
                unit="trials/s",
                repeats=options.repeats,
                out=options.out,
                clock=options.clock,
            )
            database.dispose()


if __name__ == "__main__":
    main()
