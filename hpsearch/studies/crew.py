"""Who trains what at this moment."""

from hpsearch.spec.views import WorkerView
from hpsearch.storage import attempts, changes, workers
from hpsearch.storage.database import Database, now


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
