"""Views of studies, made once a revision for all who look."""

import time
from collections import OrderedDict
from threading import Lock

from hpsearch.errors import StudyNotFound
from hpsearch.spec.views import StudyView
from hpsearch.storage import changes, studies
from hpsearch.storage.database import Database, Transaction
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.views import study_view

STALE_S = 1.0  # of what time alone changes: how far it has come, what is left
MAX_VIEWS = 64


class StudyViews:
    """Views of studies; every verb raises a study's revision, so one of it is as it is."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, tuple[int, float, StudyView]] = OrderedDict()
        self._making: dict[str, Lock] = {}
        self._lock = Lock()

    def look(self, database: Database, name: str) -> StudyView:
        """Return a study as it is; what time alone changes is at most a second old.

        Whoever asks while another makes the view waits for it, so that many who look cost as
        much as one.

        Raises:
            StudyNotFound: There is none of this name.
        """
        with database.read() as tx:
            found = changes.stamps(tx, name=name)
        if not found:
            raise StudyNotFound(name)
        uuid, revision = found[0].uuid, found[0].revision
        known = self._known(uuid, revision, STALE_S)
        if known is not None:
            return known
        with self._lock:
            making = self._making.setdefault(uuid, Lock())
        with making:
            known = self._known(uuid, revision, STALE_S)
            if known is not None:
                return known
            with database.read() as tx:
                return self._made(tx, studies.get_study(tx, name))

    def view(self, tx: Transaction, study: StudyRecord, stale_s: float = STALE_S) -> StudyView:
        """Return the study as of its revision, at most a few seconds old."""
        known = self._known(study.uuid, study.revision, stale_s)
        return self._made(tx, study) if known is None else known

    def _known(self, uuid: str, revision: int, stale_s: float) -> StudyView | None:
        """Return the view of this revision or a later one, None if there is no fresh one."""
        with self._lock:
            known_revision, made_at, view = self._views.get(uuid, (0, 0.0, None))
        is_fresh = time.monotonic() - made_at < stale_s
        return view if known_revision >= revision and is_fresh else None

    def _made(self, tx: Transaction, study: StudyRecord) -> StudyView:
        view = study_view(tx, study)
        with self._lock:
            known_revision, _, _ = self._views.get(study.uuid, (0, 0.0, None))
            if known_revision <= study.revision:
                self._views[study.uuid] = study.revision, time.monotonic(), view
                self._views.move_to_end(study.uuid)
            while len(self._views) > MAX_VIEWS:
                uuid, _ = self._views.popitem(last=False)
                self._making.pop(uuid, None)
        return view
