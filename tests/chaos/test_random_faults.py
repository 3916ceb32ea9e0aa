"""Faults at random moments: nothing lost, nothing counted twice, every result to the last bit.

The short form is part of every test run; ``make chaos`` is the long one.
"""

import sys
import time
from pathlib import Path

import pytest

from hpsearch.faults import Fault, Window
from tests.chaos.fleet import LEASE_S, Chaos, cluster_programs, fleet
from tests.chaos.promises import Outcome
from tests.services.postgres import mortal_postgres
from tests.services.redis import mortal_redis
from tests.services.sockets import free_port
from tests.studies import opened

TRAINER, LISTENER = "hpsearch.worker.trainer", "hpsearch.worker.listener"
SUPERVISOR, API = "hpsearch.worker", "hpsearch.api"
DEADLY = [window for window in Window if not window.startswith("study-")]
ANYONE = [Window.TRAINING, Window.RING_TAKEN, Window.RING_DUE]  # trainers, listeners, APIs
CUTTABLE = [window for window in Window if window.endswith("committed") and window in DEADLY]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given = request.config.getoption("--chaos-seed", None)
    return int(time.time()) if given is None else int(given)


@pytest.fixture
def n_faults(request: pytest.FixtureRequest) -> int:
    """How many faults the long form has, 0 for the short one."""
    return int(request.config.getoption("--kills", 0))


def test_a_cluster_survives_faults_at_random_moments(
    tmp_path: Path, undisturbed_large: dict[int, Outcome], seed: int, n_faults: int
) -> None:
    from hpsearch.storage.schema import upgrade

    with (
        mortal_postgres() as (postgres, postgres_power),
        mortal_redis(keeps=True) as (keeping, keeping_power),
    ):
        url = postgres.create()
        upgrade(url)
        settings = {"database_url": url, "redis_url": keeping.url}
        ports = [free_port(), free_port()]
        with (
            opened(url) as database,
            fleet(tmp_path, database, cluster_programs(ports), ports, **settings) as ships,
        ):
            chaos = Chaos(ships, seed, {})
            chaos.kinds = {
                "kill a trainer": lambda: chaos.kill(TRAINER),
                "kill another trainer": lambda: chaos.kill(TRAINER),
                "kill a listener": lambda: chaos.kill(LISTENER),
                "kill the supervisor": lambda: chaos.kill(SUPERVISOR),
                "kill an API process": lambda: chaos.kill(API),
                "freeze a trainer": lambda: chaos.freeze(TRAINER),
                "freeze an API process or listener": lambda: chaos.freeze(LISTENER, API),
                "restart Redis": lambda: chaos.cut(keeping_power, 0.5),
                "empty and restart Redis": lambda: chaos.cut(
                    keeping_power, 0.5, before=keeping.flush
                ),
                "crash PostgreSQL": lambda: chaos.cut(postgres_power, 0.2),
                "PostgreSQL away for longer than a lease": lambda: chaos.cut(
                    postgres_power, LEASE_S + 1
                ),
                "kill in a window": lambda: chaos.order(Fault.KILL, *DEADLY),
                "cut a connection in a window": lambda: chaos.order(Fault.CUT, *CUTTABLE),
                "fill the disk": lambda: chaos.order(Fault.FULL, Window.FILE_UNFINISHED),
                "hang a trainer": lambda: chaos.order(Fault.HANG, Window.TRAINING),
                "set a clock ahead": lambda: chaos.order(Fault.AHEAD, *ANYONE),
                "set a clock back": lambda: chaos.order(Fault.BEHIND, *ANYONE),
            }
            broken = chaos.run(n_faults or 10, undisturbed_large)
    assert not broken, story(chaos, seed, broken)
    assert not any("none there" in line for line in chaos.journal), story(chaos, seed, broken)


def test_one_machine_survives_kills_at_random_moments(
    tmp_path: Path, undisturbed_large: dict[int, Outcome], seed: int, n_faults: int
) -> None:
    from hpsearch.storage.schema import upgrade

    url = f"sqlite:///{tmp_path / 'hpsearch.db'}"
    upgrade(url)
    up = {"up": [sys.executable, "-P", "-m", "hpsearch.cli.main", "up"]}
    with opened(url) as database, fleet(tmp_path, database, up, port="0") as ships:
        chaos = Chaos(ships, seed, {})
        chaos.kinds = {
            "kill a trainer": lambda: chaos.kill(TRAINER),
            "kill a listener": lambda: chaos.kill(LISTENER),
            "kill the supervisor": lambda: chaos.kill(SUPERVISOR),
            "kill the API": lambda: chaos.kill(API),
            "kill everything": lambda: chaos.kill("hpsearch.cli.main"),
            "kill in a window": lambda: chaos.order(Fault.KILL, *DEADLY),
        }
        broken = chaos.run(n_faults // 4 or 3, undisturbed_large)
    assert not broken, story(chaos, seed, broken)


def story(chaos: Chaos, seed: int, broken: list[str]) -> str:
    """Return what happened, for whoever has to find out why."""
    repeat = f"repeat with --chaos-seed {seed} --kills {len(chaos.journal)}"
    logs = f"logs in {chaos.fleet.folder}"
    return "\n".join([*broken, repeat, logs, *chaos.journal])
