"""Create a study: one transaction, idempotent by key."""

from datetime import timedelta
from uuid import uuid4

from hpsearch.errors import KeyReused, NameTaken
from hpsearch.faults import Window, reached
from hpsearch.spec.definition import Definition
from hpsearch.spec.views import StudyView
from hpsearch.storage import studies
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.studies.shares import join
from hpsearch.studies.views import study_view
from hpsearch.studies.warm_start import enqueue_first, first_points

KEY_LIFE = timedelta(hours=24)


def create_study(
    database: Database,
    definition: Definition,
    *,
    owner: str = "admin",
    idempotency_key: str | None = None,
    body_sha256: str | None = None,
) -> tuple[StudyView, bool]:
    """Store a new ACTIVE study; return it, and whether this call made it.

    Args:
        database: Where to.
        definition: The parsed definition.
        owner: Whose token it came with.
        idempotency_key: The same key with the same body within 24 hours returns the study it
            made the first time.
        body_sha256: Hash of the request's body, compared on a replay.

    Raises:
        NameTaken: Another study has the name.
        InvalidDefinition: ``warm_start`` names a study that does not exist.
        DatasetNotFound: Its uploaded data set was deleted a moment ago.
        KeyReused: The key came with another body.
    """
    try:
        with database.write() as tx:
            if idempotency_key is not None:
                known = _replay(tx, owner, idempotency_key, body_sha256)
                if known is not None:
                    return known, False
            first = first_points(tx, definition)
            record = studies.insert_study(
                tx,
                uuid=str(uuid4()),
                name=definition.name,
                directions=[objective.direction for objective in definition.objectives],
                definition=definition.document,
                warnings=(*definition.warnings, *first.warnings),
                uploaded=definition.data if definition.data.stored else None,
                owner=owner,
                idempotency_key=idempotency_key,
                idempotency_sha256=body_sha256,
            )
            enqueue_first(tx, record, first)
            join(tx, record)
            view = study_view(tx, record)
            reached(Window.STUDY_UNCOMMITTED)
        reached(Window.STUDY_COMMITTED)
        return view, True
    except NameTaken:
        # the same request may have come twice at once, and the other one was first
        if idempotency_key is None:
            raise
        with database.write() as tx:
            known = _replay(tx, owner, idempotency_key, body_sha256)
        if known is None:
            raise
        return known, False


def _replay(tx: Transaction, owner: str, key: str, body_sha256: str | None) -> StudyView | None:
    record = studies.find_by_idempotency_key(tx, owner, key)
    if record is None:
        return None
    if now(tx) - record.created_at > KEY_LIFE:
        studies.update_study(tx, record, idempotency_key=None, idempotency_sha256=None)
        return None
    if record.idempotency_sha256 != body_sha256:
        raise KeyReused(
            f"Idempotency-Key {key!r} was used with another body less than 24 hours ago"
        )
    return study_view(tx, record)
