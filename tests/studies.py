"""Studies for tests: a definition, a stored study, a worker that claims and reports by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from hpsearch.catalog import installed_catalog
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.findings import PreflightView
from hpsearch.spec.states import TrialState
from hpsearch.storage import studies
from hpsearch.storage.database import Database
from hpsearch.studies.claim import Claimant, ClaimedTrial, claim
from hpsearch.studies.create import create_study
from hpsearch.studies.preflight import record_preflight
from hpsearch.studies.report import Decision, Ending, TrialReport, report

LEASE_S = 30.0


def document(name: str = "study", **changes: Any) -> dict[str, Any]:
    """Return a small definition; ``changes`` replace whole sections."""
    return {
        "name": name,
        "dataset": {"name": "digits"},
        "model": {"family": "mlp", "hidden_units": {"low": 4, "high": 64, "log": True}},
        "optimizer": {"name": "sgd", "learning_rate": {"low": 1e-4, "high": 1.0, "log": True}},
        "training": {"epochs": 5, "batch_size": 64},
        "sampler": {"name": "random"},
        "limits": {"max_trials": 4},
        **changes,
    }


def definition(name: str = "study", **changes: Any) -> Definition:
    """Return the parsed definition."""
    return parse_definition(document(name, **changes), installed_catalog())


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open a database and leave no connection behind."""
    database = Database(url, pool_size=10)
    try:
        yield database
    finally:
        database.dispose()


@dataclass(frozen=True)
class Hand:
    """A worker moved by hand."""

    database: Database
    uuid: str
    worker: str = "worker-0"
    lease_s: float = LEASE_S

    def claim(self, n: int, claim_id: str | None = None) -> list[ClaimedTrial]:
        claimant = Claimant(self.worker, "cpu", "exact", self.lease_s)
        return claim(self.database, self.uuid, n, claim_id or str(uuid4()), claimant)

    def report(self, *reports: TrialReport) -> dict[int, Decision]:
        return report(self.database, self.uuid, reports, lease_s=self.lease_s)

    def epoch(self, trial: ClaimedTrial, epoch: int, value: float = 0.5) -> Decision:
        return self.report(epochs_of(trial, {epoch: value}))[trial.number]

    def finish(self, trial: ClaimedTrial, value: float = 0.5, epoch: int = 1) -> Decision:
        return self.report(ended(trial, value, epoch))[trial.number]


def epochs_of(
    trial: ClaimedTrial, values: dict[int, float], device_seconds: float = 1.0
) -> TrialReport:
    """Return a report of validation accuracies by epoch."""
    metrics = {epoch: metrics_of(value) for epoch, value in values.items()}
    return TrialReport(trial.number, trial.token, metrics, device_seconds, n_parameters=10)


def ended(
    trial: ClaimedTrial, value: float, epoch: int = 1, device_seconds: float = 1.0
) -> TrialReport:
    """Return the report of a lane's last epoch and its end as COMPLETE."""
    end = Ending(TrialState.COMPLETE, epoch, (value,), {"accuracy": value, "loss": 1.0})
    return TrialReport(
        trial.number, trial.token, {epoch: metrics_of(value)}, device_seconds, 10, end
    )


def metrics_of(value: float) -> dict[str, float]:
    """Return the metrics of one epoch."""
    return {"val_accuracy": value, "val_loss": 1.0 - value, "train_loss": 1.0}


def past_preflight(database: Database, name: str = "study") -> None:
    """Let nobody run the study's preflight: turns begin with the training."""
    with database.read() as tx:
        uuid = studies.get_study(tx, name).uuid
    record_preflight(database, uuid, PreflightView("cpu", 0.0, datetime.now(UTC), ()))


def stored(database: Database, name: str = "study", **changes: Any) -> Hand:
    """Create a study and return a worker for it."""
    create_study(database, definition(name, **changes))
    with database.read() as tx:
        return Hand(database, studies.get_study(tx, name).uuid)
