"""Who trains what at this moment, and which studies nobody can train."""

from hpsearch.spec.definition import Definition
from hpsearch.spec.views import WorkerView
from hpsearch.storage import attempts, changes, workers
from hpsearch.storage.database import Database, Transaction, now


def crew(database: Database) -> list[WorkerView]:
    """Return the workers heard of lately, by name, with what they train."""
    with database.read() as tx:
        at = now(tx)
        records = workers.list_workers(tx)
        busy = {record.study_uuid for record in records if record.study_uuid is not None}
        stamps = {stamp.uuid: stamp for stamp in changes.stamps(tx) if stamp.uuid in busy}
        claimed: dict[tuple[str, str], list[int]] = {}
        for uuid, stamp in stamps.items():
            for attempt in attempts.running(tx, stamp.study_id):
                claimed.setdefault((attempt.worker, uuid), []).append(attempt.trial_number)
    return [
        WorkerView(
            name=record.name,
            device=record.device,
            study=stamps[record.study_uuid].name if record.study_uuid in stamps else None,
            trials=tuple(sorted(claimed.get((record.name, record.study_uuid or ""), ()))),
            started_at=record.started_at,
            silent_s=max(0.0, (at - record.last_seen_at).total_seconds()),
        )
        for record in records
    ]


def lack_of_workers(tx: Transaction, wanted: str) -> tuple[str, ...]:
    """Return the warning that no living worker may take a study, if that is so.

    Args:
        tx: Where workers are looked up.
        wanted: The study's ``execution.device``; whoever leaves that open gets no warning.
    """
    if wanted == "auto":
        return ()
    seen = workers.list_workers(tx, now(tx) - workers.ALIVE_FOR)
    if any(worker.device.partition(":")[0] == wanted for worker in seen):
        return ()
    return (f"execution.device: no {wanted} worker is alive; trials wait until one comes",)


def preview_crew(database: Database, definition: Definition) -> tuple[str, ...]:
    """Return the warning a study of this definition would have now."""
    with database.read() as tx:
        return lack_of_workers(tx, definition.execution.device)
