"""Trials as a pandas table."""

import importlib
from collections.abc import Iterable
from typing import Any

from hpsearch.errors import NotInstalled
from hpsearch.spec.views import TrialSummary


def frame_of(trials: Iterable[TrialSummary]) -> Any:
    """Return a ``pandas.DataFrame``: a row a trial, by number.

    Raises:
        NotInstalled: pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")  # a library of the caller's, not of ours
    except ImportError:
        raise NotInstalled(
            "trials as a DataFrame need the library pandas: pip install pandas"
        ) from None
    rows = [_row(trial) for trial in trials]
    if not rows:
        return pandas.DataFrame(index=pandas.Index([], name="number"))
    return pandas.DataFrame(rows).set_index("number")


def _row(trial: TrialSummary) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": str(trial.state),
        "origin": str(trial.origin),
        **trial.params,
        **(trial.values or {}),
        **{f"test_{name}": value for name, value in (trial.test or {}).items()},
        "epochs": trial.epochs,
        "best_epoch": trial.best_epoch,
        "stopped_early": trial.stopped_early,
        "n_parameters": trial.n_parameters,
        "device_seconds": trial.device_seconds,
        "created_at": trial.created_at,
        "started_at": trial.started_at,
        "finished_at": trial.finished_at,
        "failure": None if trial.failure is None else str(trial.failure.kind),
        "pruned_by": None if trial.pruned is None else trial.pruned.rule,
    }
