"""How long does a report hold its study's lock while the pruner looks at thousands of siblings?

Measured is one whole report of a pack: lock, judgement, rows, commit. The baseline is Optuna's
own ``prune()`` for as many trials on the same history in the same run, in memory: it stores
nothing and has read everything before.

    python -m benchmarks.bench_pruners [--trials 10000] [--database sqlite] [--out FILE]
"""

import argparse
import math
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.filling import PACK, fill
from benchmarks.harness import emit, environment
from hpsearch.storage import studies
from hpsearch.storage.database import Database
from hpsearch.storage.history import History
from hpsearch.storage.schema import upgrade
from hpsearch.studies.claim import Claimant, claim
from hpsearch.studies.compiled import compiled
from hpsearch.studies.judged import judged_study
from hpsearch.studies.report import Verdict, report
from tests.services.postgres import postgres_server
from tests.studies import Hand, definition, ended, epochs_of, stored

N_EPOCHS = 9
PRUNERS: dict[str, dict[str, Any]] = {
    "none": {},
    "threshold": {"lower": 0.01},
    "median": {},
    "percentile": {"percentile": 25.0},
    "successive_halving": {"reduction_factor": 3},
    "hyperband": {},
    "patient": {"patience": 0, "wrapped_pruner": {"name": "median"}},
}


def theirs(name: str) -> BasePruner | None:
    """Return Optuna's pruner of the same settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        pruners = {
            "threshold": ThresholdPruner(lower=0.01),
            "median": MedianPruner(n_warmup_steps=1),
            "percentile": PercentilePruner(25.0, n_warmup_steps=1),
            "successive_halving": SuccessiveHalvingPruner(1, 3),
            "hyperband": HyperbandPruner(1, N_EPOCHS, 3),
            "patient": PatientPruner(MedianPruner(n_warmup_steps=1), patience=0),
        }
    return pruners.get(name)


def ours(database: Database, hand: Hand, rounds: int) -> tuple[list[float], list[float], float]:
    """Return the seconds of every report of a pack, and those on the processor.

    And those of the first one of a process, which reads what is there.
    """
    with database.read() as tx:
        study = studies.find_study(tx, hand.uuid)
    assert study is not None
    judged = judged_study(compiled(study), study.study_id)
    claimant = Claimant(hand.worker, "cpu", "exact", hand.lease_s)
    took: list[float] = []
    used: list[float] = []
    for round_ in range(rounds + 1):
        lanes = claim(database, hand.uuid, PACK, f"{time.time_ns():036d}", claimant)
        assert len(lanes) == PACK
        for epoch in range(1, N_EPOCHS):
            reports = [
                epochs_of(lane, {epoch: _value(lane.number, epoch)}, float(epoch))
                for lane in lanes
            ]
            began, began_cpu = time.perf_counter(), time.process_time()
            told = report(database, hand.uuid, reports, lease_s=30.0, judged=judged)
            took.append(time.perf_counter() - began)
            used.append(time.process_time() - began_cpu)
            lanes = [lane for lane in lanes if told[lane.number].verdict is Verdict.CONTINUE]
            if not lanes:
                break
        if lanes:
            ends = [ended(lane, 0.5, N_EPOCHS, float(N_EPOCHS)) for lane in lanes]
            report(database, hand.uuid, ends, lease_s=30.0, judged=judged)
        if round_ == 0:
            first, took, used = took[0], [], []
    return took, used, first


def _value(number: int, epoch: int) -> float:
    return 0.6 + 0.1 * math.sin(number) + 0.01 * epoch


def optunas(history: list[FrozenTrial], pruner: BasePruner, rounds: int) -> list[float]:
    """Return the seconds Optuna's pruner takes for the trials of a pack, epoch by epoch."""
    study = optuna.create_study(
        study_name="study", direction="maximize", pruner=pruner,
        sampler=optuna.samplers.RandomSampler(),
    )  # fmt: skip
    study.add_trials(history)
    took: list[float] = []
    for _ in range(rounds):
        trials = [study.ask() for _ in range(PACK)]
        for epoch in range(1, N_EPOCHS):
            for trial in trials:
                trial.report(_value(trial.number, epoch), epoch)
            began = time.process_time()
            pruned = [trial.should_prune() for trial in trials]
            took.append(time.process_time() - began)
            lost = [trial for trial, is_lost in zip(trials, pruned, strict=True) if is_lost]
            for trial in lost:
                study.tell(trial, state=TrialState.PRUNED)
            trials = [trial for trial in trials if trial not in lost]
            if not trials:
                break
        for trial in trials:
            study.tell(trial, 0.5)
    return took


def finished(database: Database, hand: Hand) -> list[FrozenTrial]:
    """Return the study's finished trials as Optuna's users would add them."""
    with database.read() as tx:
        study = studies.find_study(tx, hand.uuid)
        assert study is not None
        history = History(study.study_id)
        history.refresh(tx)
    return [
        create_trial(
            state=trial.state,
            values=trial.values,
            intermediate_values=trial.intermediate_values,
            system_attrs=trial.system_attrs,
        )
        for trial in history.trials
        if trial.state.is_finished()
    ]


@contextmanager
def database_of(kind: str) -> Iterator[Database]:
    """Give an empty database, SQLite or PostgreSQL."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield from _opened(f"sqlite:///{folder}/study.db")
    else:
        with postgres_server(None) as server:
            yield from _opened(server.create())


def _opened(url: str) -> Iterator[Database]:
    upgrade(url)
    database = Database(url)
    yield database
    database.dispose()


def main() -> None:
    """Measure every pruner and print one JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with database_of(options.database) as database:
        sections = {
            "training": {"epochs": N_EPOCHS},
            "limits": {"max_trials": 1_000_000},
        }
        # rungs are written for all of them; who has no use for rungs does not read them
        hand = stored(database, pruner={"name": "hyperband"}, **sections)
        fill(database, hand, options.trials, N_EPOCHS)
        history = finished(database, hand)
        for name, settings in PRUNERS.items():
            document = definition(pruner={"name": name, **settings}, **sections).document
            with database.write() as tx:
                study = studies.lock_by_uuid(tx, hand.uuid)
                assert study is not None
                studies.update_study(tx, study, definition=document)
            took, used, first = ours(database, hand, options.rounds)
            pruner = theirs(name)
            baseline = [math.nan] if pruner is None else optunas(history, pruner, options.rounds)
            emit(
                {
                    "question": "how long does a report of a pack hold the lock",
                    "name": name,
                    "database": options.database,
                    "trials": options.trials,
                    "pack": PACK,
                    "first_report_ms": _ms(first),
                    "median": _ms(statistics.median(took)),
                    "max": _ms(max(took)),
                    "cpu_median": _ms(statistics.median(used)),
                    "unit": "ms per report",
                    "n": len(took),
                    "baseline": "Optuna's prune() for as many trials, in memory, on the processor",
                    "baseline_median": None
                    if pruner is None
                    else _ms(statistics.median(baseline)),
                    "baseline_max": None if pruner is None else _ms(max(baseline)),
                    "load": round(os.getloadavg()[0], 1),
                    **environment(),
                },
                options.out,
            )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


if __name__ == "__main__":
    main()
