"""The runner of real turns: the database, and what trains on its behalf."""

from collections.abc import Callable

from hpsearch.errors import ServiceDown
from hpsearch.settings import Settings
from hpsearch.storage import workers
from hpsearch.storage.database import Database
from hpsearch.storage.schema import is_current
from hpsearch.studies.recover import worker_lost
from hpsearch.training.process import settle_process
from hpsearch.turn import TurnRunner

POOL_SIZE = 4  # the turn, its lease thread, its sampler and its checkpoints


class DatabaseRunner:
    """Takes turns for whatever study the database says is owed most."""

    def __init__(self, database: Database, worker: str, turns: TurnRunner) -> None:
        self._database = database
        self._worker = worker
        self._turns = turns

    def run(
        self, hint: str | None, interrupted: Callable[[], bool], progress: Callable[[], None]
    ) -> bool:
        """Take one turn; true if it got anything done, so that another may follow at once."""
        summary = self._turns.run(hint, interrupted, progress)
        return summary.n_epochs > 0 or summary.n_ended > 0

    def worker_lost(self, worker: str) -> None:
        """Make the trials of a dead worker WAITING again, without waiting for its leases."""
        worker_lost(self._database, worker)

    def close(self) -> None:
        """Strike this worker off the list and close the database."""
        try:
            with self._database.write() as tx:
                workers.forget(tx, name=self._worker)
        finally:
            self._database.dispose()


def make_runner(settings: Settings, worker: str, device: str) -> DatabaseRunner:
    """Return a runner on the configured database.

    Raises:
        ServiceDown: The database does not answer, or nobody has migrated it yet.
    """
    database = Database(settings.resolved_database_url, pool_size=POOL_SIZE)
    try:
        if not is_current(database):
            raise ServiceDown(
                "database", "its schema is not up to date: run `hpsearch db upgrade`"
            )
    except ServiceDown:
        database.dispose()
        raise
    turns = TurnRunner(
        database,
        worker=worker,
        device=device,
        datasets_dir=settings.resolved_datasets_dir,
        artifacts_dir=settings.resolved_artifacts_dir,
        lease_s=settings.lease_s,
        turn_s=settings.turn_s,
        checkpoint_s=settings.checkpoint_s,
        capacity_dir=settings.data_dir / "capacity",
    )
    settle_process(device)
    return DatabaseRunner(database, worker, turns)
