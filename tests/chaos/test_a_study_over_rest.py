"""A user's whole way: a study over REST on PostgreSQL, and its trainer dies in the middle."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.catalog import installed_catalog
from hpsearch.client.client import Client
from hpsearch.client.definitions import read_draft
from hpsearch.errors import Unavailable
from hpsearch.faults import Fault, Window
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.states import AttemptState, StudyState
from hpsearch.spec.views import StudyView
from tests.chaos.fleet import TOKEN, cluster_programs, fleet
from tests.chaos.promises import Outcome, attempt_states, broken_promises
from tests.services.sockets import free_port
from tests.services.waiting import eventually
from tests.studies import opened

N_TRIALS = 10
SHORT = [Window.TRAINING]
LONG = [
    Window.TRAINING,
    Window.CHECKPOINT_RECORDED,
    Window.REPORT_COMMITTED,
    Window.CHECKPOINT_WRITTEN,
]


def classic(share: float) -> dict[str, Any]:
    """Return the classic random search on MNIST, on a share of its examples."""
    rates = {"low": 1e-6, "high": 1, "log": True}
    return {
        "name": "mnist-random",
        "dataset": {
            "name": "mnist",
            "validation_fraction": 0.08333,
            "train_fraction": share,
            "normalize": "none",
        },
        "model": {
            "family": "mlp",
            "hidden_layers": {"low": 1, "high": 2},
            "hidden_units": {"choices": [128, 256]},
            "init": "normal",
            "init_scale": 1.0,
        },
        "optimizer": {
            "name": "sgd",
            "learning_rate": rates,
            "momentum": {"low": 0.5, "high": 0.999, "log": True},
            "l2": {"low": 1e-4, "high": 1, "log": True},
        },
        "training": {
            "epochs": 20,
            "batch_size": 50,
            "early_stopping": {"metric": "val_loss", "patience": 1},
        },
        "objectives": [{"metric": "val_accuracy"}],
        "sampler": {"name": "random"},
        "limits": {"max_trials": N_TRIALS},
    }


def test_a_study_over_rest_survives_its_trainers(
    tmp_path: Path,
    postgres_url: str,
    redis_url: str,
    mnist_folder: Path,
    left_alone: Callable[[Path, Definition], dict[int, Outcome]],
    request: pytest.FixtureRequest,
) -> None:
    is_long = request.config.getoption("--kills", 0) > 0
    has_mnist = sum(path.stat().st_size for path in (mnist_folder / "mnist").iterdir()) > 2**22
    windows = LONG if is_long and has_mnist else SHORT
    document = classic(0.1 if has_mnist and is_long else 0.02 if has_mnist else 1.0)
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    (alone / "datasets").symlink_to(mnist_folder)
    undisturbed = left_alone(alone, parse_definition(document, installed_catalog()))
    settings = {
        "database_url": postgres_url,
        "redis_url": redis_url,
        "datasets_dir": str(mnist_folder),
    }
    ports = [free_port()]
    programs = cluster_programs(ports, "hpsearch.worker.turns:make_runner")
    with (
        opened(postgres_url) as database,
        fleet(together, database, programs, ports, **settings) as ships,
        Client(f"http://127.0.0.1:{ports[0]}", TOKEN) as client,
    ):
        for window in windows:  # each kills a trainer that comes there
            ships.orders.give(window, Fault.KILL)
        ships.tend()
        eventually(lambda: created(client, document), "the API answers", 60.0)
        last = client.wait("mnist-random", poll_s=0.2)
        trials = list(client.trials("mnist-random"))
        curves = {trial.number: client.epochs("mnist-random", trial.number) for trial in trials}
        ships.stop()
        broken = broken_promises(database, "mnist-random", undisturbed)
        lost = attempt_states(database, "mnist-random")[AttemptState.LOST]

    assert [window for window in windows if not ships.orders.is_done(window)] == []
    assert broken == []
    assert lost >= 1
    assert (last.state, last.state_reason) == (StudyState.COMPLETED, "MAX_TRIALS")
    assert (last.progress.finished, last.counts.running, last.counts.waiting) == (N_TRIALS, 0, 0)
    assert [trial.number for trial in trials] == list(range(N_TRIALS))
    for number, outcome in undisturbed.items():
        assert [view.epoch for view in curves[number]] == sorted(outcome.curve)


def created(client: Client, document: dict[str, Any]) -> StudyView | None:
    """Return the study once the server is up."""
    with contextlib.suppress(Unavailable):
        return client.create(read_draft(document), idempotency_key="once")
    return None
