"""API processes and workers as a container engine runs them, and all that may befall them."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hpsearch import faults
from hpsearch.client.client import Client
from hpsearch.client.definitions import read_draft
from hpsearch.errors import ServiceDown, Unavailable
from hpsearch.faults import Fault, Window
from hpsearch.spec.states import StudyState
from hpsearch.storage.database import Database
from hpsearch.studies.create import create_study
from hpsearch.studies.read import get_study
from tests.chaos.promises import (
    LARGE,
    Outcome,
    broken_promises,
    chaos_document,
    chaos_study,
)
from tests.chaos.trainers import Orders
from tests.services.guarded import Power
from tests.services.process_tree import LinuxProcess, descendants
from tests.services.processes import Household
from tests.studies import past_preflight

REPOSITORY = Path(__file__).parents[2]
LEASE_S = 3.0
ENDS_WITHIN_S = 120.0  # after the last fault: supervisors start again with back-off, up to 30 s
TOKEN = "chaos"
LIVE = {StudyState.ACTIVE, StudyState.STOPPING}


@dataclass
class Fleet:
    """Processes that are started again whenever they are found dead.

    Attributes:
        household: Starts them and finds what is left of them.
        database: The database of theirs.
        programs: Commands by name.
        environment: Of every process.
        orders: What they come across in their windows.
        folder: Their data folder.
        ports: Where API processes listen, if that is known.
    """

    household: Household
    database: Database
    programs: dict[str, list[str]]
    environment: dict[str, str]
    orders: Orders
    folder: Path
    ports: Sequence[int] = ()
    living: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    n_starts: int = 0
    n_studies: int = 0

    def tend(self) -> None:
        """Start again what has died."""
        for name, command in self.programs.items():
            process = self.living.get(name)
            if process is None or process.poll() is not None:
                self.n_starts += 1
                self.living[name] = self.household.start(
                    f"{name}-{self.n_starts}", command, self.environment, self.folder
                )

    def find(self, *modules: str) -> list[LinuxProcess]:
        """Return the living processes that run one of our modules."""
        found = []
        for process in self.living.values():
            own = LinuxProcess.of(process.pid)
            below = descendants(process.pid)
            found += [p for p in [*([own] if own else []), *below] if not p.is_gone]
        return [p for p in found if any(module in p.command for module in modules)]

    def submit(self, wait: Callable[[float], None] = time.sleep) -> None:
        """Create one more study, as often as it takes: over REST if there are API processes.

        Args:
            wait: Lets time pass between two tries.
        """
        name = f"chaos-{self.n_studies}"
        until = time.monotonic() + ENDS_WITHIN_S
        while True:
            try:
                self._create(name, wait)
                break
            except (ServiceDown, Unavailable):
                if time.monotonic() > until:
                    raise
                wait(0.1)
        self.n_studies += 1

    def _create(self, name: str, wait: Callable[[float], None]) -> None:
        document = chaos_document(name, LARGE)
        if self.ports:
            url = f"http://127.0.0.1:{self.ports[self.n_studies % len(self.ports)]}"
            with Client(url, TOKEN, timeout_s=2.0, sleep=wait) as client:
                client.create(read_draft(document), idempotency_key=name)
            return
        definition = chaos_study(name, LARGE)
        create_study(self.database, definition, idempotency_key=name, body_sha256="0" * 64)
        past_preflight(self.database, name)

    def live_studies(self) -> list[str]:
        """Return the studies that have not ended; all while the database is away."""
        names = [f"chaos-{n}" for n in range(self.n_studies)]
        with contextlib.suppress(ServiceDown):
            return [name for name in names if get_study(self.database, name).state in LIVE]
        return names

    def stop(self) -> None:
        """Ask everything to leave and wait until it has."""
        for process in self.living.values():
            process.terminate()
        for process in self.living.values():
            process.wait(20)


class Chaos:
    """Faults at random moments, noted as they happen.

    Args:
        fleet: Whom they befall.
        seed: Repeats the same choices (not the same moments: those are the machine's).
        kinds: What may happen, by name.
    """

    def __init__(self, fleet: Fleet, seed: int, kinds: dict[str, Callable[[], object]]) -> None:
        self.fleet = fleet
        self.rng = random.Random(seed)
        self.kinds = kinds
        self.journal: list[str] = []
        self._frozen: list[tuple[float, LinuxProcess]] = []
        self._began = time.monotonic()

    def run(self, n_faults: int, undisturbed: dict[int, Outcome]) -> list[str]:
        """Let faults happen while studies run; return every promise broken in the end."""
        order: list[str] = []
        while len(self.journal) < n_faults:
            self._tend()
            if not self.fleet.live_studies():
                self.fleet.submit(self._wait)
            if not order:  # every kind before any comes again
                order = self.rng.sample(sorted(self.kinds), len(self.kinds))
            self._wait(self.rng.uniform(0.1, 1.2))
            kind = order.pop()
            self.note(kind)
            self.kinds[kind]()
        self.note("quiet: left over " + ", ".join(self.fleet.orders.withdraw()))
        self._await_ends()
        self.fleet.stop()
        broken = [f"left running: {command}" for command in self.fleet.household.living()]
        for number in range(self.fleet.n_studies):
            name = f"chaos-{number}"
            found = broken_promises(self.fleet.database, name, undisturbed)
            broken += [f"{name}: {promise}" for promise in found]
        return broken

    def note(self, what: str) -> None:
        """Add a line to the journal."""
        self.journal.append(f"{time.monotonic() - self._began:6.1f} s {what}")

    def _await_ends(self) -> None:
        until = time.monotonic() + ENDS_WITHIN_S
        while (self.fleet.live_studies() or self._frozen) and time.monotonic() < until:
            self._wait(0.1)

    # the faults

    def kill(self, *modules: str) -> None:
        """``kill -9`` of one process that runs one of the modules."""
        self._send(signal.SIGKILL, *modules)

    def freeze(self, *modules: str) -> None:
        """SIGSTOP one process for longer than a lease."""
        process = self._send(signal.SIGSTOP, *modules)
        if process is not None:
            self._frozen.append((time.monotonic() + LEASE_S + 1.5, process))

    def order(self, fault: Fault, *windows: Window) -> None:
        """Have the next process that comes to a window meet a fault."""
        window = self.rng.choice(windows)
        self.journal[-1] += f" {window}"
        self.fleet.orders.give(window, fault)

    def cut(self, power: Power, down_s: float, before: Callable[[], object] = int) -> None:
        """Crash a server and start it again on what it left."""
        before()
        power.cut()
        self._wait(down_s)
        power.restore()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._tend()
            time.sleep(0.05)

    def _tend(self) -> None:
        self.fleet.tend()
        for thaw_at, process in list(self._frozen):
            if time.monotonic() >= thaw_at:
                self._frozen.remove((thaw_at, process))
                with contextlib.suppress(ProcessLookupError):
                    process.send(signal.SIGCONT)

    def _send(self, number: signal.Signals, *modules: str) -> LinuxProcess | None:
        until = time.monotonic() + 30
        while not (found := self.fleet.find(*modules)):
            if time.monotonic() > until:
                self.journal[-1] += " (none there)"
                return None
            self._wait(0.05)
        chosen = self.rng.choice(found)
        with contextlib.suppress(ProcessLookupError):
            chosen.send(number)
        self.journal[-1] += f" {chosen.pid}"
        return chosen


@contextmanager
def fleet(
    folder: Path,
    database: Database,
    programs: dict[str, list[str]],
    ports: Sequence[int] = (),
    **settings: str,
) -> Iterator[Fleet]:
    """Give a fleet for a block; nothing of it lives after the block."""
    orders = Orders(folder / "orders")
    environment = {
        "HPSEARCH_DATA_DIR": str(folder),
        "HPSEARCH_DEVICES": "cpu:2",
        "HPSEARCH_LEASE_S": str(LEASE_S),
        "HPSEARCH_TURN_S": "2",
        "HPSEARCH_CHECKPOINT_S": "0.3",
        "HPSEARCH_TOKEN": TOKEN,
        "PYTHONPATH": str(REPOSITORY),
        faults.VARIABLE: str(orders.folder),
        **{f"HPSEARCH_{name.upper()}": value for name, value in settings.items()},
    }
    household = Household(os.environ, folder)  # noqa: TID251 - what a shell would hand down
    try:
        yield Fleet(household, database, programs, environment, orders, folder, ports)
    finally:
        household.kill()


def cluster_programs(
    ports: Sequence[int], runner: str = "tests.chaos.runner:make"
) -> dict[str, list[str]]:
    """Return the commands of a cluster: API processes and one machine of workers."""
    python = [sys.executable, "-P", "-m"]
    apis = {
        f"api-{n}": ["env", f"HPSEARCH_PORT={port}", *python, "hpsearch.api"]
        for n, port in enumerate(ports)
    }
    return {**apis, "worker": [*python, "hpsearch.worker", "--runner", runner]}
