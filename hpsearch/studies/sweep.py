"""Checkpoints that nobody needs any more: of trials that ended while their trainer died."""

import time
from pathlib import Path

from hpsearch.storage import changes, trials
from hpsearch.storage.database import Database

SWEEP_EVERY_S = 60.0  # at most, for one study


class Sweep:
    """Deletes what trainers would have deleted themselves had they lived a moment longer.

    A study is looked at again only after something has happened in it.

    Args:
        database: Where the studies live.
        artifacts_dir: Where checkpoints are kept, in a folder of each study's own.
        every_s: Shortest time between two looks at one study.
    """

    def __init__(
        self, database: Database, artifacts_dir: Path, every_s: float = SWEEP_EVERY_S
    ) -> None:
        self._database = database
        self._artifacts_dir = artifacts_dir
        self._every_s = every_s
        self._seen: dict[str, tuple[int, float]] = {}  # revision and time of the last look

    def run(self) -> int:
        """Look at the study that has waited longest; return how many files were deleted."""
        at = time.monotonic()
        with self._database.read() as tx:
            stamps = changes.stamps(tx)
        self._seen = {s.uuid: self._seen[s.uuid] for s in stamps if s.uuid in self._seen}
        due = []
        for stamp in stamps:
            revision, looked_at = self._seen.get(stamp.uuid, (-1, at - self._every_s))
            if stamp.revision > revision and at - looked_at >= self._every_s:
                due.append((looked_at, stamp))
        if not due:
            return 0
        _, stamp = min(due, key=lambda found: found[0])
        self._seen[stamp.uuid] = (stamp.revision, at)
        return self._clear(stamp.study_id, self._artifacts_dir / stamp.uuid)

    def _clear(self, study_id: int, folder: Path) -> int:
        found = folder.glob("*/*attempt-*")
        files = [path for path in found if path.name.startswith(("attempt-", ".attempt-"))]
        numbers = {int(path.parent.name) for path in files if path.parent.name.isdecimal()}
        with self._database.read() as tx:
            records = trials.by_numbers(tx, study_id, numbers)
        ended = {str(record.number) for record in records if record.state.has_finished}
        over = [path for path in files if path.parent.name in ended]
        for path in over:
            path.unlink(missing_ok=True)
        return len(over)
