"""A turn: claim, pack, train, report, finish. Where the verbs and the engine meet."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from hpsearch.datasets.base import REGISTRY as DATASETS
from hpsearch.datasets.scaling import save_scaling
from hpsearch.datasets.splits import Splits, split
from hpsearch.datasets.stored import load_stored
from hpsearch.errors import DatasetUnavailable, TrialFailed
from hpsearch.logs import get_logger
from hpsearch.session.preflight import run_preflight
from hpsearch.session.run import Session, TurnSummary
from hpsearch.session.states import StateCache
from hpsearch.spec.definition import Definition
from hpsearch.spec.sections import DatasetSection
from hpsearch.spec.states import StateReason
from hpsearch.storage import workers
from hpsearch.storage.database import Database, now
from hpsearch.studies.claim import Claimant
from hpsearch.studies.compiled import compiled
from hpsearch.studies.fail import fail_study
from hpsearch.studies.next_study import next_study
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import Goal
from hpsearch.training.planner import Planner
from hpsearch.training.warm import Warm

log = get_logger(__name__)

MAX_CACHED_SPLITS = 4


class TurnRunner:
    """Runs turns in one trainer process; keeps data sets and compiled studies between them.

    Args:
        database: The truth.
        worker: This worker's unique name.
        device: ``cpu`` or ``cuda:0``.
        datasets_dir: Where data set files are.
        artifacts_dir: Where checkpoints and models go.
        lease_s: Life of a lease.
        turn_s: Time slice after which another study may be owed more.
        checkpoint_s: Time between two checkpoints of running trials.
        capacity_dir: Where measurements of this machine are kept; None: nowhere.
    """

    def __init__(
        self,
        database: Database,
        *,
        worker: str,
        device: str,
        datasets_dir: Path,
        artifacts_dir: Path,
        lease_s: float,
        turn_s: float,
        checkpoint_s: float = 60.0,
        capacity_dir: Path | None = None,
    ) -> None:
        self._database = database
        self._worker = worker
        self._device = device
        self._datasets_dir = datasets_dir
        self._artifacts_dir = artifacts_dir
        self._lease_s = lease_s
        self._turn_s = turn_s
        self._checkpoint_s = checkpoint_s
        self._states = StateCache()
        self._planner = Planner(capacity_dir)
        self._warm = Warm()
        self._splits: OrderedDict[tuple[DatasetSection, str | None], Splits] = OrderedDict()
        self._last_touch = -math.inf

    def run(
        self,
        hint: str | None,
        interrupted: Callable[[], bool],
        progress: Callable[[], None] = lambda: None,
    ) -> TurnSummary:
        """Train the study that is owed most, until nothing is left to claim or the slice ends.

        A trial's failure is recorded, never raised. Anything else that breaks is: it may be a
        poisoned CUDA context, so this process should end, and its successor takes the trials
        back at the cost of an attempt, so that it cannot go on for ever.

        Args:
            hint: The study the doorbell named; the database decides.
            interrupted: Whether to hand everything back now; asked at least twice a second.
            progress: Called at every sign of life, for whoever watches this process.

        Raises:
            ServiceDown: The database is away and nothing is running.
        """
        study = next_study(self._database, self._device)
        if study is None or interrupted():
            self._touch_idle()
            return TurnSummary(None)
        log.debug("turn_started", study=study.name, hint=hint)
        progress()
        try:
            definition = compiled(study)
            splits = self._load(definition)
        except (DatasetUnavailable, TrialFailed) as error:
            log.warning("dataset_unavailable", study=study.name, error=str(error))
            fail_study(self._database, study.uuid, StateReason.DATASET, str(error))
            return TurnSummary(study.name)
        self._keep_scaling(study.uuid, splits)
        can_go_on = run_preflight(
            self._database,
            study,
            definition,
            splits,
            device=self._device,
            interrupted=interrupted,
            progress=progress,
        )
        if not can_go_on or interrupted():
            return TurnSummary(study.name)
        claimant = Claimant(
            self._worker, self._device, definition.execution.precision, self._lease_s
        )
        session = Session(
            self._database,
            study,
            definition,
            claimant,
            turn_s=self._turn_s,
            checkpoint_s=self._checkpoint_s,
            artifacts_dir=self._artifacts_dir,
            states=self._states,
            interrupted=interrupted,
            progress=progress,
        )
        engine = Engine(
            splits,
            goal=Goal(definition.goal_metric, definition.goal_direction),
            seed=definition.seed,
            early_stopping=definition.early_stopping,
            device=self._device,
            precision=definition.execution.precision,
            lanes=definition.execution.lanes,
            planner=self._planner,
            warm=self._warm,
        )
        try:
            with session.keeping_leases():
                session.hand_back(engine.run(session.boundary, session.is_interrupted))
        finally:
            self._last_touch = -math.inf
            session.close()
        return session.summary()

    def _load(self, definition: Definition) -> Splits:
        section, data = definition.dataset, definition.data
        # the key of an upload: another one may have got its name since
        wanted = (section, data.stored)
        if wanted in self._splits:
            self._splits.move_to_end(wanted)
            return self._splits[wanted]
        if data.stored is not None:
            arrays = load_stored(self._artifacts_dir, data)
        else:
            arrays = DATASETS[section.name]().load(self._datasets_dir)
        made = split(arrays, section, data.task)
        self._splits[wanted] = made
        while len(self._splits) > MAX_CACHED_SPLITS:
            self._splits.popitem(last=False)
        return made

    def _keep_scaling(self, uuid: str, splits: Splits) -> None:
        """Save what a trained network needs beside its weights; a full disk costs that alone."""
        try:
            save_scaling(self._artifacts_dir / uuid, splits.scaling)
        except OSError as error:
            log.error("scaling_not_saved", study=uuid, error=str(error))

    def _touch_idle(self) -> None:
        if time.monotonic() - self._last_touch < workers.HEARTBEAT_S:
            return
        with self._database.write() as tx:
            workers.touch(tx, self._worker, self._device, None, 0, now(tx))
        self._last_touch = time.monotonic()
