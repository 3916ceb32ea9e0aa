"""A study's preflight in its first turn: once, by one worker, and nothing waits for it."""

from collections.abc import Callable
from datetime import UTC, datetime

from hpsearch.datasets.splits import Splits
from hpsearch.errors import ServiceDown
from hpsearch.logs import get_logger
from hpsearch.spec.definition import Definition
from hpsearch.spec.findings import PreflightView, Severity
from hpsearch.storage.database import Database
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.preflight import begin_preflight, leave_preflight, record_preflight
from hpsearch.training.preflight.checks import could_not_run, preflight
from hpsearch.training.preflight.clock import InterruptedPreflightError, limit_of

log = get_logger(__name__)

GRACE_S = 60.0  # beyond the limit: the slowest single piece of work, a loaded machine


def run_preflight(
    database: Database,
    study: StudyRecord,
    definition: Definition,
    splits: Splits,
    *,
    device: str,
    interrupted: Callable[[], bool],
    progress: Callable[[], None],
) -> bool:
    """Run the preflight if nobody has; return whether the study can go on.

    Args:
        database: Where the findings go.
        study: The study as this turn found it.
        definition: Its definition.
        splits: Its examples.
        device: Where this worker trains.
        interrupted: Whether to leave at once; another worker runs it then.
        progress: Called at every sign of life.

    Raises:
        ServiceDown: The database is away before anything has begun.
    """
    if study.preflight is not None:
        return True
    if not begin_preflight(database, study.uuid, device, limit_of(definition.limits) + GRACE_S):
        return True

    def asked() -> bool:
        progress()
        return interrupted()

    try:
        found = preflight(definition, splits, device=device, interrupted=asked)
    except InterruptedPreflightError:
        leave_preflight(database, study.uuid)
        return True
    except Exception as error:
        log.exception("preflight_failed", study=study.name)
        lost = could_not_run(f"{type(error).__name__}: {error}")
        found = PreflightView(device, 0.0, datetime.now(UTC), (lost,))
    n_warnings = sum(f.severity is Severity.WARNING for f in found.findings)
    log.info(
        "preflight_finished",
        study=study.name,
        n_warnings=n_warnings,
        duration_s=round(found.device_seconds, 2),
    )
    try:
        return record_preflight(database, study.uuid, found)
    except ServiceDown as error:
        log.warning("preflight_not_recorded", study=study.name, error=str(error))
        return True
