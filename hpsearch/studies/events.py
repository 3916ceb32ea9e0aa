"""What happened in a study since a revision, as events; nothing is stored for it.

Every verb raises the study's revision and stamps it on the rows it writes. So the rows with a
later stamp are what happened since, and any revision is a place to go on from: a listener that
was away, or a server that was, misses nothing.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from hpsearch.errors import StudyNotFound
from hpsearch.spec.events import Event, EventKind
from hpsearch.spec.states import TrialState
from hpsearch.spec.views import EpochView, TrialSummary
from hpsearch.storage import changes, studies, trials
from hpsearch.storage.changes import Start, StudyStamp
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.trials import TrialRecord
from hpsearch.studies.study_views import StudyViews
from hpsearch.studies.views import summaries

CHUNK_ROWS = 1_000  # told in one go: about a megabyte of events
SHOW_STUDY_EVERY_S = 5.0
CALM = 10  # a view that takes long to make is made in a tenth of the time at most
COMMIT_LAG = timedelta(seconds=60)  # no verb takes longer from its clock to its commit
_ORDER = {
    EventKind.TRIAL_REWOUND: 0,
    EventKind.TRIAL_STARTED: 1,
    EventKind.EPOCH: 2,
    EventKind.TRIAL_FINISHED: 3,
}


@dataclass(frozen=True, slots=True)
class Batch:
    """What one look found.

    Attributes:
        events: In order; may be none.
        has_more: Whether there is more to read at once.
        is_over: Whether the study has ended or is gone, and all of it was told.
        is_lively: Whether something may happen by itself.
    """

    events: tuple[Event, ...]
    has_more: bool
    is_over: bool
    is_lively: bool


@dataclass(frozen=True, slots=True)
class _Happening:
    """An event before it has an id: revision and place in the order of telling."""

    revision: int
    number: int
    epoch: int
    kind: EventKind
    data: Mapping[str, Any]

    @property
    def place(self) -> tuple[int, int, int, int]:
        return self.revision, self.number, _ORDER[self.kind], self.epoch


class EventReader:
    """Reads one study's events, each at least once, from a revision on.

    The first event is the study as it is now. An id says that everything up to it was told, so
    the first events of a revision carry the one before.

    Args:
        database: Where the study lives.
        name: The study.
        after: The last id that was read; None to begin with what happens from now on.
        views: Shared among readers.
    """

    def __init__(
        self, database: Database, name: str, after: int | None, views: StudyViews | None = None
    ) -> None:
        self._database = database
        self._name = name
        self._after = after
        self._views = views or StudyViews()
        self._uuid: str | None = None
        self._told: tuple[object, ...] | None = None
        self._told_at = 0.0
        self._owes_study = False
        self._view_s = 0.0
        self._attempts: dict[int, int] = {}
        self._epochs: dict[int, int] = {}

    def read(self) -> Batch:
        """Return what happened since the last call; blocks for as long as the queries take.

        Raises:
            StudyNotFound: There is no such study, at the first call.
            ServiceDown: The database does not answer; calling again later goes on from here.
        """
        with self._database.read() as tx:
            found = changes.stamps(tx, name=self._name)
            if self._uuid is None and not found:
                raise StudyNotFound(self._name)
            if not found or (self._uuid is not None and found[0].uuid != self._uuid):
                return Batch((), has_more=False, is_over=True, is_lively=False)
            try:
                return self._read(tx, found[0])
            except BaseException:
                self._attempts.clear()  # what was found is read again, and told then
                self._epochs.clear()
                raise

    def _read(self, tx: Transaction, stamp: StudyStamp) -> Batch:
        after = stamp.revision if self._after is None else self._after
        if self._uuid is None and after > stamp.revision:
            after = 0  # they speak of another study of this name, gone by now
        first = self._study_event(tx, after) if self._uuid is None else []
        end = stamp.revision
        told: list[Event] = []
        if end > after:
            end = changes.end_of_chunk(tx, stamp.study_id, after, end, CHUNK_ROWS)
            told = list(_with_ids(self._name, after, self._happenings(tx, stamp, after, end)))
            self._owes_study = True
        has_more = end < stamp.revision
        is_over = stamp.state.has_ended and not has_more
        is_told_already = bool(first) and not (is_over and end > after)
        if not has_more and not is_told_already and self._wants_study(stamp):
            told += self._study_event(tx, end)
            self._owes_study = False
        self._uuid, self._after = stamp.uuid, end
        return Batch((*first, *told), has_more, is_over, stamp.state in studies.LIVE_STATES)

    def _wants_study(self, stamp: StudyStamp) -> bool:
        since_s = time.monotonic() - self._told_at
        if stamp.state.has_ended:
            return True
        if since_s >= SHOW_STUDY_EVERY_S and stamp.state in studies.LIVE_STATES:
            return True
        return self._owes_study and since_s >= CALM * self._view_s

    def _study_event(self, tx: Transaction, at_id: int) -> list[Event]:
        started_at = time.monotonic()
        study = studies.get_study(tx, self._name)
        view = self._views.view(tx, study, SHOW_STUDY_EVERY_S / 2)
        self._view_s = time.monotonic() - started_at
        best = tuple(trial.number for trial in view.best_trials)
        key = (view.state, view.state_reason, view.counts, best, view.warnings)
        is_due = time.monotonic() - self._told_at >= SHOW_STUDY_EVERY_S
        if key == self._told and not is_due and not view.state.has_ended:
            return []
        self._told, self._told_at = key, time.monotonic()
        data = {
            field.name: getattr(view, field.name)
            for field in fields(view)
            if field.name != "definition"
        }
        return [Event(EventKind.STUDY, self._name, at_id, data)]

    def _happenings(
        self, tx: Transaction, stamp: StudyStamp, after: int, end: int
    ) -> list[_Happening]:
        measured = changes.epochs_between(tx, stamp.study_id, after, end)
        by_number: dict[int, list[tuple[int, EpochView]]] = {}
        for revision, view in measured:
            by_number.setdefault(view.number, []).append((revision, view))
        stamped = {
            record.number: record
            for record in changes.trials_between(tx, stamp.study_id, after, end)
        }
        # others were stamped again later: their epochs belong here, their ends do not
        missing = [number for number in by_number if number not in stamped]
        records = stamped | {
            record.number: record for record in trials.by_numbers(tx, stamp.study_id, missing)
        }
        starts = changes.last_starts(tx, [record.trial_id for record in records.values()])
        params = trials.read_params(tx, [record.trial_id for record in records.values()])
        study = studies.get_study(tx, self._name)
        over = [record for record in stamped.values() if record.state.has_finished]
        finished = dict(zip([r.number for r in over], summaries(tx, study, over), strict=True))
        found: list[_Happening] = []
        for number, record in sorted(records.items()):
            found += self._of_trial(
                record,
                by_number.get(number, ()),
                starts.get(record.trial_id),
                params.get(record.trial_id, {}),
                finished.get(number),
                is_stamped=number in stamped,
            )
        return sorted(found, key=lambda happening: happening.place)

    def _of_trial(
        self,
        record: TrialRecord,
        measured: Sequence[tuple[int, EpochView]],
        start: Start | None,
        params: Mapping[str, Any],
        finished: TrialSummary | None,
        *,
        is_stamped: bool,
    ) -> Iterator[_Happening]:
        number = record.number
        first_at = measured[0][0] if measured else record.revision
        data: dict[str, Any]
        if measured or is_stamped:
            floor = measured[0][1].epoch - 1 if measured else record.epochs
            known = self._epochs.get(number)
            # who comes back after a while may have seen epochs that were taken back meanwhile
            was_handed_back = record.n_attempts > (record.state is not TrialState.WAITING)
            is_rewound = was_handed_back if known is None else floor < known
            if is_rewound:
                data = {"number": number, "epoch": floor}
                yield _Happening(first_at, number, floor, EventKind.TRIAL_REWOUND, data)
            self._epochs[number] = measured[-1][1].epoch if measured else floor
        is_running = record.state is not TrialState.WAITING or bool(measured)
        is_new = start is not None and self._attempts.get(number) != start.attempt
        if start is not None and is_new and is_running and record.has_params:
            self._attempts[number] = start.attempt
            told = {"params": params, "attempt": start.attempt, "worker": start.worker}
            data = {"number": number, **told}
            yield _Happening(first_at, number, 0, EventKind.TRIAL_STARTED, data)
        for revision, view in measured:
            data = {"number": number, "epoch": view.epoch, "metrics": view.metrics}
            yield _Happening(revision, number, view.epoch, EventKind.EPOCH, data)
        if finished is not None:
            self._attempts.pop(number, None)
            self._epochs.pop(number, None)
            data = {field.name: getattr(finished, field.name) for field in fields(finished)}
            yield _Happening(record.revision, number, 0, EventKind.TRIAL_FINISHED, data)


class AllEventsReader:
    """Reads the events of all studies, each at least once, from a moment on.

    Ids are microseconds of the database's clock: what happened until then was told.

    Args:
        database: Where the studies live.
        after: The last id that was read; None to begin with what happens from now on.
        views: Shared among readers.
    """

    def __init__(
        self, database: Database, after: int | None, views: StudyViews | None = None
    ) -> None:
        self._database = database
        self._since = None if after is None else _moment(after) - COMMIT_LAG
        self._last_id = after or 0
        self._views = views or StudyViews()
        self._readers: dict[str, EventReader] = {}
        self._revisions: dict[str, int] | None = None

    def read(self) -> Batch:
        """Return what happened since the last call.

        Raises:
            ServiceDown: The database does not answer; calling again later goes on from here.
        """
        with self._database.read() as tx:
            until = round(now(tx).timestamp() * 1_000_000)
            found = changes.stamps(tx)
            starts = {} if self._revisions is not None else self._places(tx, found)
        events: list[Event] = []
        has_more = False
        known = self._revisions or {}
        seen: dict[str, int] = {}
        for stamp in found:
            is_new = self._revisions is not None and stamp.uuid not in known
            if stamp.uuid in starts or is_new:
                after = starts.get(stamp.uuid, 0)
                reader = EventReader(self._database, stamp.name, after, self._views)
                self._readers[stamp.uuid] = reader
            elif stamp.uuid not in self._readers and known.get(stamp.uuid) == stamp.revision:
                seen[stamp.uuid] = stamp.revision
                continue
            elif stamp.uuid not in self._readers and self._revisions is not None:
                after = known.get(stamp.uuid, 0)  # it had ended and goes on
                reader = EventReader(self._database, stamp.name, after, self._views)
                self._readers[stamp.uuid] = reader
            seen[stamp.uuid] = stamp.revision
            if stamp.uuid in self._readers:
                more, told = self._look(stamp)
                has_more = has_more or more
                events += told
        self._readers = {uuid: each for uuid, each in self._readers.items() if uuid in seen}
        self._revisions = seen
        if not has_more:
            self._last_id = max(self._last_id, until)
        # only a complete look moves the id on
        ids = [self._last_id if i == len(events) - 1 else 0 for i in range(len(events))]
        numbered = tuple(
            Event(event.kind, event.study, each, event.data)
            for event, each in zip(events, ids, strict=True)
        )
        return Batch(numbered, has_more, is_over=False, is_lively=bool(self._readers))

    def _look(self, stamp: StudyStamp) -> tuple[bool, list[Event]]:
        try:
            batch = self._readers[stamp.uuid].read()
        except StudyNotFound:
            self._readers.pop(stamp.uuid)
            return False, []
        if batch.is_over:
            self._readers.pop(stamp.uuid)
        return batch.has_more, list(batch.events)

    def _places(self, tx: Transaction, found: Sequence[StudyStamp]) -> dict[str, int | None]:
        """Return from which revision to read each study that is live or changed meanwhile."""
        places: dict[str, int | None] = {}
        for stamp in found:
            if self._since is not None and stamp.updated_at > self._since:
                places[stamp.uuid] = changes.revision_before(tx, stamp.study_id, self._since)
            elif not stamp.state.has_ended:
                places[stamp.uuid] = None
        return places


def current_revision(database: Database, name: str) -> int:
    """Return the study's revision: what is read from the database now includes it.

    Raises:
        StudyNotFound: There is no such study.
    """
    with database.read() as tx:
        found = changes.stamps(tx, name=name)
    if not found:
        raise StudyNotFound(name)
    return found[0].revision


def _with_ids(name: str, after: int, happenings: Sequence[_Happening]) -> Iterator[Event]:
    complete = after
    for i, happening in enumerate(happenings):
        is_last = i + 1 == len(happenings)
        if is_last or happenings[i + 1].revision > happening.revision:
            complete = happening.revision
        yield Event(happening.kind, name, complete, happening.data)


def _moment(micros: int) -> datetime:
    try:
        return datetime.fromtimestamp(micros / 1_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
