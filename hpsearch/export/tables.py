"""Trials as CSV: one row a trial, one column a parameter, objective and test metric."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hpsearch.spec.views import TrialSummary

FIRST = ("number", "state", "origin")
LAST = (
    "epochs",
    "best_epoch",
    "stopped_early",
    "n_parameters",
    "device_seconds",
    "failure",
    "pruned_by",
    "created_at",
    "started_at",
    "finished_at",
)


def trials_csv(trials: Sequence[TrialSummary]) -> str:
    """Return the trials as RFC 4180 has it; times in UTC, an absent value is an empty cell."""
    params = _names(trial.params for trial in trials)
    values = _names(trial.values for trial in trials)
    tests = _names(trial.test for trial in trials)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*FIRST, *params, *values, *(f"test_{name}" for name in tests), *LAST])
    for trial in trials:
        writer.writerow(
            [
                trial.number,
                trial.state,
                trial.origin,
                *(_cell(trial.params.get(name)) for name in params),
                *(_cell((trial.values or {}).get(name)) for name in values),
                *(_cell((trial.test or {}).get(name)) for name in tests),
                *_facts(trial),
            ]
        )
    return text.getvalue()


def _names(maps: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(name for names in maps for name in names or ()))


def _facts(trial: TrialSummary) -> Iterator[Any]:
    yield from (trial.epochs, _cell(trial.best_epoch), _cell(trial.stopped_early))
    yield from (_cell(trial.n_parameters), trial.device_seconds)
    yield trial.failure.kind if trial.failure else ""
    yield trial.pruned.rule if trial.pruned else ""
    for moment in (trial.created_at, trial.started_at, trial.finished_at):
        yield moment.isoformat().replace("+00:00", "Z") if moment else ""


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value
