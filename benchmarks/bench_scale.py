"""Do claim and end cost more the more trials have finished? And a fresh trainer's first turn?

Ours against plain Optuna at the same number of finished trials in copies of one database, for
random and for TPE. All sizes take turns, so that a busy machine slows all of them: look at the
ratios. ``fresh`` is a process that has never seen the study, ``warm`` one that has.

    python -m benchmarks.bench_scale [--sizes 100,1000,10000,100000]
        [--databases sqlite,postgresql] [--samplers random,tpe] [--rounds 25] [--clock wall]
        [--out FILE]

``--clock cpu`` counts the processor time of this process alone: for SQLite on a busy machine.
"""

import argparse
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler, TPESampler

from benchmarks.filling import fill
from benchmarks.harness import emit, environment
from hpsearch.sampling.distributions import to_distribution
from hpsearch.storage.database import Database
from hpsearch.storage.history import History
from hpsearch.storage.schema import upgrade
from hpsearch.studies.claim import Claimant, ClaimedTrial, claim
from tests.services.postgres import PostgresServer, postgres_server
from tests.studies import Hand, definition, ended, stored

PACK = 32
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
MOST_FOR_OPTUNA = 10_000  # beyond, its first look takes half a minute and a GB
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
ids = (f"{n:036x}" for n in itertools.count(2**64))


class Ours:
    """A trainer's view of a study: claims and ends, with what it remembers between claims."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.history = self.unknown()

    def unknown(self) -> History:
        """Return the view of a process that has never seen the study."""
        with self.hand.database.read() as tx:
            from hpsearch.storage import studies

            found = studies.find_study(tx, self.hand.uuid)
        assert found is not None
        return History(found.study_id)

    def claim(self, n: int) -> list[ClaimedTrial]:
        """Claim ``n`` trials."""
        claimant = Claimant(self.hand.worker, "cpu", "exact", self.hand.lease_s)
        database, uuid = self.hand.database, self.hand.uuid
        return claim(database, uuid, n, next(ids), claimant, self.history)

    def end(self, lanes: list[ClaimedTrial]) -> None:
        """Report an epoch and the end of each."""
        self.hand.report(*(ended(lane, 0.7) for lane in lanes))


class Theirs:
    """Plain Optuna over the same rows: ``ask`` with the whole space, ``tell``."""

    def __init__(self, url: str, name: str, sampler: optuna.samplers.BaseSampler) -> None:
        self.study = optuna.load_study(study_name=name, storage=url, sampler=sampler)
        domains = definition(**SPACE).space.domains
        self.space = {name: to_distribution(domain) for name, domain in domains.items()}


@dataclass
class Size:
    """One size of study: ours, Optuna's copy, and what was measured, in seconds by name."""

    n: int
    hand: Hand
    ours: Ours
    theirs: Callable[[], Theirs] | None
    clock: Callable[[], float]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    warm_theirs: Theirs | None = None

    def timed(self, name: str, run: Callable[[], Any], *, of: int = 1) -> Any:
        """Run once and remember how long each ``of`` took."""
        started = self.clock()
        result = run()
        self.seconds.setdefault(name, []).append((self.clock() - started) / of)
        return result

    def look_fresh(self) -> None:
        """Measure first looks."""
        self.ours.history = self.ours.unknown()
        lanes = self.timed("fresh_claim", lambda: self.ours.claim(1))
        self.ours.end(lanes)

    def look_warm(self, *, counts: bool) -> None:
        """Measure one claim of one and one of a pack, with their ends, and Optuna's ask."""
        ours = self.ours
        kept = self.seconds if counts else {}
        self.seconds, measured = kept, self.seconds
        lanes = self.timed("claim", lambda: ours.claim(1))
        self.timed("end", lambda: ours.end(lanes))
        self.seconds.setdefault("claim_and_end", []).append(
            self.seconds["claim"][-1] + self.seconds["end"][-1]
        )
        lanes = self.timed("pack_claim", lambda: ours.claim(PACK), of=PACK)
        self.timed("pack_end", lambda: ours.end(lanes), of=PACK)
        theirs = self.warm_theirs
        if theirs is not None:
            asked = self.timed("optuna_ask", lambda: theirs.study.ask(theirs.space))
            self.timed("optuna_tell", lambda: theirs.study.tell(asked, 0.7))
        self.seconds = measured

    def look_at_optuna(self) -> None:
        """Measure Optuna's first look."""
        if self.theirs is not None:
            self.warm_theirs = self.theirs()
            theirs = self.warm_theirs
            asked = self.timed("optuna_fresh_ask", lambda: theirs.study.ask(theirs.space))
            theirs.study.tell(asked, 0.7)


def copied(url: str, postgres: PostgresServer | None, to: Path) -> str:
    """Return the URL of a copy of a database nobody is connected to."""
    if postgres is not None:
        return postgres.create(url)
    shutil.copy(url.removeprefix("sqlite:///"), to)
    return f"sqlite:///{to}"


def prepared(
    sampler: str,
    sizes: list[int],
    folder: Path,
    postgres: PostgresServer | None,
    clock: Callable[[], float],
) -> list[Size]:
    """Return studies of these sizes, each in a database of its own."""
    made = []
    for n in sizes:
        path = folder / f"{sampler}-{n}.db"
        url = f"sqlite:///{path}" if postgres is None else postgres.create()
        upgrade(url)
        database = Database(url)
        hand = stored(database, sampler, **SPACE, sampler={"name": "random"})
        fill(database, hand, n)
        _give_sampler(database, hand, sampler)
        database.dispose()
        theirs = None
        if n <= MOST_FOR_OPTUNA:
            copy = copied(url, postgres, path.with_suffix(".optuna.db"))
            kind = RandomSampler if sampler == "random" else TPESampler

            def theirs(copy: str = copy, kind: Any = kind, n: int = n) -> Theirs:
                return Theirs(copy, sampler, kind(seed=n))

        made.append(Size(n, hand, Ours(hand), theirs, clock))
    return made


def _give_sampler(database: Database, hand: Hand, sampler: str) -> None:
    """Let the study, filled at random, go on with another sampler."""
    from hpsearch.storage import studies

    with database.write() as tx:
        study = studies.lock_by_uuid(tx, hand.uuid)
        assert study is not None
        parsed = definition(sampler, **SPACE, sampler={"name": sampler})
        studies.update_study(tx, study, definition=parsed.document)


def lines(sizes: list[Size], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was measured: medians in ms, and ratios taken inside the rounds."""
    smallest = sizes[0]
    found = []
    for size in sizes:
        line: dict[str, Any] = {
            "question": "does claim and end cost more the more trials have finished",
            **settings,
            "finished": size.n,
            "rounds": len(size.seconds["claim"]),
        }
        for name, taken in size.seconds.items():
            line[f"{name}_ms"] = round(1000 * statistics.median(taken), 2)
        for name in ("claim", "claim_and_end", "pack_claim"):
            line[f"{name}_growth"] = _ratio(size.seconds[name], smallest.seconds[name])
        if size.warm_theirs is not None:
            line["optuna_ask_ratio"] = _ratio(size.seconds["optuna_ask"], size.seconds["claim"])
            line["optuna_ask_pack_ratio"] = _ratio(
                size.seconds["optuna_ask"], size.seconds["pack_claim"]
            )
        found.append({**line, **environment()})
    return found


def _ratio(above: list[float], below: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 3)


def main() -> None:
    """Measure growing studies and print one JSON line a database, sampler and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,1000,10000,100000")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--samplers", default="random,tpe")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sizes = [int(size) for size in options.sizes.split(",")]
    for kind, sampler in itertools.product(
        options.databases.split(","), options.samplers.split(",")
    ):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            postgres = None
            if kind == "postgresql":
                postgres = stack.enter_context(postgres_server(None))
            made = prepared(sampler, sizes, folder, postgres, CLOCKS[options.clock])
            for size in made:
                size.look_fresh()
                size.look_at_optuna()
            for round_ in range(options.rounds + 1):
                for size in made:
                    size.look_warm(counts=round_ > 0)
            for line in lines(
                made, {"database": kind, "sampler": sampler, "clock": options.clock}
            ):
                emit(line, options.out)
            for size in made:
                size.hand.database.dispose()
                if size.warm_theirs is not None:
                    size.warm_theirs.study._storage.remove_session()


if __name__ == "__main__":
    main()
