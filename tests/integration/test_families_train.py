"""The contract's rows-against-perceptrons study, in little, turn by turn on the digits."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from hpsearch.models.mlp import Mlp
from hpsearch.models.recurrent import Recurrent
from hpsearch.spec.states import StudyState
from hpsearch.storage.database import Database
from hpsearch.studies.read import get_study, get_trial, list_trials
from hpsearch.turn import TurnRunner
from tests.studies import opened, past_preflight, stored

ROWS: dict[str, Any] = {
    "dataset": {"name": "digits", "train_fraction": 0.2},
    "model": {
        "dropout": {"low": 0.0, "high": 0.5, "per_layer": False},
        "choices": [
            {
                "family": "mlp",
                "hidden_layers": {"low": 1, "high": 2},
                "hidden_units": {"low": 8, "high": 32, "log": True},
                "batch_norm": {"choices": [True, False]},
            },
            {
                "family": "recurrent",
                "label": "gated",
                "cell": {"choices": ["gru", "lstm"]},
                "hidden_layers": {"low": 1, "high": 2},
                "hidden_units": {"low": 8, "high": 24, "step": 8},
            },
            {
                "family": "recurrent",
                "label": "plain",
                "cell": "vanilla",
                "activation": {"choices": ["tanh", "relu"]},
                "hidden_units": 16,
                "steps": {"choices": [8, 16]},
            },
        ],
    },
    "optimizer": {
        "name": "adam",
        "learning_rate": {"low": 1e-3, "high": 1e-2, "log": True},
        "gradient_clip_norm": {"choices": [None, 1.0, 5.0]},
    },
    "training": {"epochs": 3, "batch_size": 32},
    "limits": {"max_trials": 12},
    "seed": 3,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    with opened(sqlite_url) as database:
        yield database


def finish(
    database: Database, folder: Path, name: str, interrupted: Callable[[], bool] = lambda: False
) -> list[Any]:
    """Train a study to its end in as many turns as it takes; return what it found."""
    stored(database, name, **ROWS)
    past_preflight(database, name)
    runner = TurnRunner(
        database,
        worker="worker-0",
        device="cpu",
        datasets_dir=folder,
        artifacts_dir=folder / "artifacts",
        lease_s=30.0,
        turn_s=60.0,
    )
    for _ in range(300):
        if get_study(database, name).state is StudyState.COMPLETED:
            break
        runner.run(None, interrupted)
    trials = list_trials(database, name)[0]
    return [(t.number, t.state, t.params, t.values, t.test, t.best_epoch) for t in trials]


def test_every_branch_is_trained_and_interruptions_change_nothing(
    database: Database, tmp_path: Path
) -> None:
    whole = finish(database, tmp_path, "whole")
    branches = {trial[2]["model"] for trial in whole}
    assert branches == {"mlp", "gated", "plain"}
    n_asked = itertools.count(1)
    in_parts = finish(database, tmp_path, "parts", lambda: next(n_asked) % 15 == 0)
    assert in_parts == whole
    n_attempts = [len(get_trial(database, "parts", trial[0]).attempts or ()) for trial in whole]
    assert max(n_attempts) > 1, "nothing was interrupted"


def test_a_stored_model_loads_into_the_plain_network(database: Database, tmp_path: Path) -> None:
    finish(database, tmp_path, "study")
    for path in sorted(tmp_path.glob("artifacts/*/*/model.safetensors")):
        trial = get_trial(database, "study", int(path.parent.name))
        assert trial.config is not None
        settings = trial.config["model"]
        kind = Mlp if settings["family"] == "mlp" else Recurrent
        network = kind.model_validate(settings).plain(64, 10)
        network.load_state_dict(load_file(path))
        assert sum(weight.numel() for weight in network.parameters()) == trial.n_parameters
