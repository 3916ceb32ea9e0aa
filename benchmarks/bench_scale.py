"""Do claim and end cost more the more trials have finished? And a fresh trainer's first turn?

Ours against plain Optuna at the same number of finished trials on the same kind of database, for
random and for TPE. ``warm`` is a process that has seen the study; ``fresh`` reads it for the
first time.

    python -m benchmarks.bench_scale [--sizes 100,1000,10000] [--database sqlite] [--out FILE]
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna

from benchmarks.harness import emit, environment
from hpsearch.sampling.distributions import to_distribution
from hpsearch.storage import studies
from hpsearch.storage.database import Database
from hpsearch.storage.history import History
from hpsearch.storage.schema import upgrade
from hpsearch.studies.claim import Claimant, claim
from tests.services.postgres import postgres_server
from tests.studies import Hand, definition, ended, stored

N_ASKS = 9
SEED_PACK = 500
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
SAMPLERS = ("random", "tpe")
ids = (f"{n:036d}" for n in itertools.count())


def seeded(database: Database, sampler: str) -> Hand:
    """Return an empty study of one sampler."""
    return stored(database, sampler, **SPACE, sampler={"name": sampler})


def fill(hand: Hand, n: int) -> None:
    """Finish ``n`` trials in bulk."""
    while n > 0:
        lanes = hand.claim(min(n, SEED_PACK))
        reports = [ended(lane, 0.5 + lane.number % 100 / 250) for lane in lanes]
        hand.report(*reports)
        n -= len(lanes)


def ours(hand: Hand, history: History) -> Callable[[], None]:
    """Return one claim and end of a trial."""

    def once() -> None:
        claimant = Claimant(hand.worker, "cpu", "exact", hand.lease_s)
        (lane,) = claim(hand.database, hand.uuid, 1, next(ids), claimant, history)
        hand.report(ended(lane, 0.7))

    return once


def theirs(study: optuna.Study) -> Callable[[], None]:
    """Return one ask and tell of plain Optuna over the same space."""
    domains = definition(**SPACE).space.domains
    space = {name: to_distribution(domain) for name, domain in domains.items()}

    def once() -> None:
        study.tell(study.ask(space), 0.7)

    return once


def seconds(run: Callable[[], None], n: int) -> float:
    """Return the median seconds of ``n`` runs."""
    taken = []
    for _ in range(n):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measure(database: Database, sampler: str, hand: Hand, size: int) -> dict[str, float]:
    """Return milliseconds, ours and Optuna's, fresh and warm, at the present size."""
    with database.read() as tx:
        found = studies.find_study(tx, hand.uuid)
    assert found is not None
    history = History(found.study_id)
    once = ours(hand, history)
    fresh, warm = seconds(once, 1), seconds(once, N_ASKS)
    kind = optuna.samplers.RandomSampler if sampler == "random" else optuna.samplers.TPESampler
    url = database.url.render_as_string(hide_password=False)
    started = time.perf_counter()
    # the same rows: Optuna reads our study with no help
    study = optuna.load_study(study_name=sampler, storage=url, sampler=kind(seed=size))
    plain = theirs(study)
    plain()
    plain_fresh = time.perf_counter() - started
    plain_warm = seconds(plain, N_ASKS)
    return {
        "fresh_ms": 1000 * fresh,
        "warm_ms": 1000 * warm,
        "optuna_fresh_ms": 1000 * plain_fresh,
        "optuna_warm_ms": 1000 * plain_warm,
    }


def main() -> None:
    """Measure growing studies and print one JSON line a sampler and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for sampler in options.samplers.split(","):
            for size in map(int, options.sizes.split(",")):
                # a database of its own: Optuna's trials must not count as ours afterwards
                if options.database == "sqlite":
                    url = f"sqlite:///{folder}/{sampler}-{size}.db"
                else:
                    url = stack.enter_context(postgres_server(None)).create()
                upgrade(url)
                database = Database(url)
                filler = seeded(database, sampler)
                _fill_randomly(filler, size)
                figures = measure(database, sampler, filler, size)
                database.dispose()
                line = {
                    "question": "does claim and end cost more the more trials have finished",
                    "database": options.database,
                    "sampler": sampler,
                    "finished": size,
                    **{name: round(value, 2) for name, value in figures.items()},
                    **environment(),
                }
                emit(line, options.out)


def _fill_randomly(hand: Hand, n: int) -> None:
    """Fill any study with random points; the sampler measured is not slowed by its own past."""
    from hpsearch.sampling.random import RandomSampler
    from hpsearch.studies import claim as room

    real = room.sample

    def sample(database: Any, found: Any, *rest: Any, **more: Any) -> Any:
        import dataclasses

        return real(database, dataclasses.replace(found, sampler=RandomSampler()), *rest, **more)

    room.sample = sample
    try:
        fill(hand, n)
    finally:
        room.sample = real


if __name__ == "__main__":
    main()
