"""The trained network of a trial, with all that is needed to predict with it."""

import math
from collections.abc import Mapping
from pathlib import Path

from hpsearch.datasets.scaling import load_scaling
from hpsearch.errors import ModelNotFound, TrialNotFound
from hpsearch.export.trained import TrainedModel, read_weights
from hpsearch.spec.states import TrialState
from hpsearch.storage import datasets, studies, trials
from hpsearch.storage.database import Database
from hpsearch.studies.compiled import compiled
from hpsearch.studies.views import trial_view

WEIGHTS = "model.safetensors"


def get_model(database: Database, artifacts_dir: Path, name: str, number: int) -> TrainedModel:
    """Return the network of a trial's best epoch.

    Raises:
        StudyNotFound: There is no such study.
        TrialNotFound: It has no trial of this number.
        ModelNotFound: The trial has not ended as COMPLETE, or its file is gone.
    """
    with database.read() as tx:
        study = studies.get_study(tx, name)
        found = trials.find_trial(tx, study.study_id, number)
        if found is None:
            raise TrialNotFound(name, number)
        trial = trial_view(tx, study, found)
        data = compiled(study).data
        upload = datasets.find_dataset(tx, data.name) if data.stored else None
    if trial.state is not TrialState.COMPLETE:
        raise ModelNotFound(f"trial {number} of study {name!r} has no model: it is {trial.state}")
    folder = artifacts_dir / study.uuid
    weights = read_weights(folder / str(number) / WEIGHTS)
    scaling = load_scaling(folder)
    if weights is None or scaling is None:
        raise ModelNotFound(
            f"the model of trial {number} of study {name!r} is not in the server's artifacts: it "
            "was trained by a worker with other artifacts, or its disk was full"
        )
    facts = {
        "study": name,
        "trial": number,
        "task": data.task,
        "input_shape": list(data.input_shape),
        "n_outputs": data.n_outputs,
        "outputs": list(data.outputs),
        "columns": [] if upload is None else upload.columns,
        "config": trial.config,
        "values": _finite(trial.values),
        "test": _finite(trial.test),
    }
    return TrainedModel(weights, scaling, facts)


def has_model(database: Database, artifacts_dir: Path, name: str, number: int) -> bool:
    """Return whether the network of a trial's best epoch can be had.

    Raises:
        StudyNotFound: There is no such study.
    """
    with database.read() as tx:
        folder = artifacts_dir / studies.get_study(tx, name).uuid
    return (folder / str(number) / WEIGHTS).is_file()


def _finite(metrics: Mapping[str, float | None] | None) -> dict[str, float | None]:
    """Return the metrics, with null for what JSON cannot write."""
    return {
        name: value if value is None or math.isfinite(value) else None
        for name, value in (metrics or {}).items()
    }
