"""The files of a study's lanes: what they go on from, and what they end with.

A checkpoint counts once its file is durable and the database names it, in this order. Each has
a path of its own, so that a crash in between leaves the one before as it was.
"""

import contextlib
import shutil
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hpsearch.errors import ServiceDown
from hpsearch.faults import Window, reached
from hpsearch.logs import get_logger
from hpsearch.session.states import StateCache
from hpsearch.storage import studies
from hpsearch.storage.database import Database
from hpsearch.studies.claim import ClaimedTrial
from hpsearch.studies.recover import record_checkpoints, start_over
from hpsearch.training.checkpoint import load_state, save_state
from hpsearch.training.lanes import LaneState

log = get_logger(__name__)

Checkpoint = dict[str, Any]


class Checkpoints:
    """Writes and reads the files of one study's lanes.

    Args:
        database: Where checkpoints are recorded.
        uuid: The study.
        artifacts_dir: Where the files go, in a folder of the study's own.
        every_s: Time between two checkpoints of running lanes.
        states: Remembers what was handed back.
    """

    def __init__(
        self,
        database: Database,
        uuid: str,
        artifacts_dir: Path,
        every_s: float,
        states: StateCache,
    ) -> None:
        self._database, self._uuid = database, uuid
        self._root, self._every_s, self._states = artifacts_dir, every_s, states
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._writing: Future[None] | None = None
        self._due_at = time.monotonic() + every_s

    def load(self, trial: ClaimedTrial) -> LaneState | None:
        """Return where a trial stood; if that cannot be read, it begins anew, its past forgotten.

        Raises:
            ServiceDown: The database is away; ask again.
        """
        if trial.checkpoint is None:
            return None
        path, epoch = str(trial.checkpoint["path"]), trial.checkpoint["epoch"]
        state = self._states.take(path) or load_state(self._root / path)
        if state is not None and state.epoch == epoch:
            return state
        log.warning("checkpoint_unusable", number=trial.number, epoch=epoch)
        start_over(self._database, self._uuid, trial.token)
        return None

    def save(self, trial: ClaimedTrial, state: LaneState) -> Checkpoint | None:
        """Save a lane that is handed back; None if the file cannot be written."""
        checkpoint = self._write(trial, state)
        if checkpoint is not None:
            self._states.put(checkpoint["path"], state)
        return checkpoint

    def is_due(self) -> bool:
        """Return whether running lanes should be saved now; never while that is going on."""
        is_writing = self._writing is not None and not self._writing.done()
        return not is_writing and time.monotonic() >= self._due_at

    def save_running(self, lanes: Mapping[str, tuple[ClaimedTrial, LaneState]]) -> None:
        """Save running lanes, by token, and record the files, in a thread."""
        self._due_at = time.monotonic() + self._every_s
        if lanes:
            self._writing = self._thread.submit(self._save_running, lanes)

    def save_model(self, trial: ClaimedTrial, state: LaneState) -> None:
        """Save the weights of the best epoch; a full disk costs the model, not the result."""
        try:
            save_state(self._folder(trial.number) / "model.safetensors", state)
        except OSError as error:
            log.error("model_not_saved", number=trial.number, error=str(error))

    def keep_only(self, checkpoints: Mapping[int, str]) -> None:
        """Delete older checkpoints of trials, by number, beside the one that is recorded."""
        for number, path in checkpoints.items():
            self._thread.submit(self._delete, number, path)

    def discard(self, numbers: Collection[int]) -> None:
        """Delete the checkpoints of trials that have ended."""
        for number in numbers:
            self._thread.submit(self._delete, number, None)

    def close(self) -> None:
        """Wait for what is being written, and leave no thread behind, nor files of no study."""
        self._thread.shutdown(wait=True)
        with contextlib.suppress(ServiceDown), self._database.read() as tx:
            if studies.find_study(tx, self._uuid) is None:  # deleted while we were writing
                shutil.rmtree(self._root / self._uuid, ignore_errors=True)

    def _save_running(self, lanes: Mapping[str, tuple[ClaimedTrial, LaneState]]) -> None:
        written = {}
        for token, (trial, state) in lanes.items():
            checkpoint = self._write(trial, state)
            if checkpoint is not None:
                written[token] = checkpoint
        reached(Window.CHECKPOINT_WRITTEN)
        try:
            recorded = record_checkpoints(self._database, self._uuid, written)
        except ServiceDown as error:
            log.warning("checkpoints_not_recorded", n_lanes=len(written), error=str(error))
            return
        reached(Window.CHECKPOINT_RECORDED)
        for token in recorded:
            self._delete(lanes[token][0].number, written[token]["path"])

    def _write(self, trial: ClaimedTrial, state: LaneState) -> Checkpoint | None:
        name = f"attempt-{trial.attempt}-epoch-{state.epoch}.safetensors"
        path = self._folder(trial.number) / name
        try:
            save_state(path, state)
        except OSError as error:
            log.warning("checkpoint_not_saved", number=trial.number, error=str(error))
            return None
        return {"path": str(path.relative_to(self._root)), "epoch": state.epoch}

    def _delete(self, number: int, keep: str | None) -> None:
        for path in self._folder(number).glob("attempt-*.safetensors"):
            if keep is None or path != self._root / keep:
                path.unlink(missing_ok=True)
        if keep is None:  # half files of trainers that were killed
            for path in self._folder(number).glob(".*"):
                path.unlink(missing_ok=True)

    def _folder(self, number: int) -> Path:
        return self._root / self._uuid / str(number)
