"""One run of the engine on one study: its boundaries answered, its leases kept."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from hpsearch.errors import ServiceDown
from hpsearch.logs import get_logger
from hpsearch.spec.definition import Definition
from hpsearch.spec.states import FailureKind, StateReason, TrialState
from hpsearch.storage import workers
from hpsearch.storage.database import Database, now
from hpsearch.storage.history import History
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.claim import Claimant, ClaimedTrial, claim
from hpsearch.studies.fail import fail_study
from hpsearch.studies.next_study import next_study
from hpsearch.studies.recover import HandBack, hand_back, renew_leases
from hpsearch.studies.report import Decision, Ending, TrialReport, Verdict, report
from hpsearch.training.checkpoint import load_state, save_state
from hpsearch.training.lanes import (
    Boundary,
    HandedBack,
    LaneEnd,
    LaneOutcome,
    LaneReport,
    LaneSpec,
    LaneState,
    Reply,
)

log = get_logger(__name__)

QUICK_CLAIM_S = 0.05  # how long a running pack may wait for a claim; longer ones join later
CLAIM_AGAIN_S = 1.0  # after a claim that found nothing
STALLED_AFTER_S = 60.0  # no progress for this long in training: leases are no longer renewed
LOADING_LIMIT_S = 600.0  # the same while data is loaded, code compiled, points sampled


@dataclass(frozen=True, slots=True)
class TurnSummary:
    """What a turn did.

    Attributes:
        study: Name of the study, None if there was nothing to do.
        n_epochs: Epochs recorded, over all lanes.
        n_ended: Trials that ended.
    """

    study: str | None
    n_epochs: int = 0
    n_ended: int = 0


class Session:
    """One run of the engine on one study: answers its boundaries, keeps its leases."""

    def __init__(
        self,
        database: Database,
        study: StudyRecord,
        definition: Definition,
        claimant: Claimant,
        *,
        turn_s: float,
        artifacts_dir: Path,
        interrupted: Callable[[], bool],
        progress: Callable[[], None],
    ) -> None:
        self._database = database
        self._study = study
        self._definition = definition
        self._claimant = claimant
        self._turn_s = turn_s
        self._folder = artifacts_dir / study.uuid
        self._interrupted = interrupted
        self._progress = progress
        # one each, because the sampler reads in a thread of its own
        self._sampling_history = History(study.study_id)
        self._pruning_history = History(study.study_id)
        self._live: dict[int, ClaimedTrial] = {}
        self._unsent: dict[int, TrialReport] = {}
        self._claiming: Future[list[ClaimedTrial]] | None = None
        self._sampling_thread = ThreadPoolExecutor(1, thread_name_prefix="sampler")
        self._claim_again_at = -math.inf
        self._slice_ends = time.monotonic() + turn_s
        self._progress_at = time.monotonic()
        self._stalls_after_s = LOADING_LIMIT_S
        self._n_epochs = 0
        self._n_ended = 0

    def summary(self) -> TurnSummary:
        """Return what was done so far."""
        return TurnSummary(self._study.name, self._n_epochs, self._n_ended)

    def is_interrupted(self) -> bool:
        """Return whether to stop at once; every question is a sign of life."""
        self._progress_at = time.monotonic()
        self._stalls_after_s = STALLED_AFTER_S
        self._progress()
        return self._interrupted()

    def boundary(self, boundary: Boundary) -> Reply:
        """Report what was measured, learn what becomes of each lane, admit new ones."""
        self._stalls_after_s = LOADING_LIMIT_S
        for lane in boundary.reports:
            self._queue(lane)
        decisions = self._send(wait=boundary.n_live == 0)
        drop, back = self._apply(decisions)
        if self._interrupted() or self._should_yield():
            return Reply(drop=drop, hand_back=back, hand_back_all=True)
        self._progress()  # sampling may take its time
        n_leaving = len(drop) + len(back)
        admitted = self._claim(
            boundary.n_free + n_leaving, is_idle=boundary.n_live - n_leaving <= 0
        )
        return Reply(drop=drop, hand_back=back, admit=tuple(map(self._lane_spec, admitted)))

    def hand_back(self, lanes: tuple[HandedBack, ...]) -> None:
        """Put unfinished lanes back to WAITING, each with a checkpoint of its last epoch."""
        self._send(wait=False)
        self._collect_claim(timeout_s=None)
        returned = {lane.number: lane for lane in lanes}
        backs = []
        for number, trial in self._live.items():
            lane = returned.get(number)
            checkpoint = None
            if lane is not None and lane.state is not None:
                checkpoint = self._save(trial, lane.state)
            spent = 0.0 if lane is None else lane.device_seconds
            backs.append(HandBack(number, trial.token, spent, checkpoint))
        hand_back(self._database, self._study.uuid, backs)
        self._live.clear()

    @contextmanager
    def keeping_leases(self) -> Iterator[None]:
        """Renew the leases of live lanes in a thread, while the training shows progress."""
        done = threading.Event()

        def renew() -> None:
            while True:
                self._renew()
                if done.wait(self._claimant.lease_s / 3):
                    return

        thread = threading.Thread(target=renew, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def close(self) -> None:
        """Leave no thread behind."""
        self._sampling_thread.shutdown(wait=True)

    def _renew(self) -> None:
        if time.monotonic() - self._progress_at > self._stalls_after_s:
            log.error("training_stalled", study=self._study.name)
            return
        tokens = [trial.token for trial in list(self._live.values())]
        try:
            renew_leases(self._database, self._study.uuid, tokens, self._claimant.lease_s)
            with self._database.write() as tx:
                workers.touch(
                    tx,
                    self._claimant.worker,
                    self._claimant.device,
                    self._study.uuid,
                    len(tokens),
                    now(tx),
                )
        except ServiceDown as error:
            log.warning("lease_not_renewed", error=str(error))

    def _queue(self, lane: LaneReport) -> None:
        trial = self._live[lane.number]
        new = TrialReport(
            number=lane.number,
            token=trial.token,
            epochs={result.epoch: result.metrics for result in lane.epochs},
            device_seconds=lane.device_seconds,
            n_parameters=lane.n_parameters,
            end=None if lane.end is None else self._ending(trial, lane.end),
        )
        old = self._unsent.get(lane.number)
        if old is not None:
            new = replace(new, epochs={**old.epochs, **new.epochs})
        self._unsent[lane.number] = new

    def _send(self, *, wait: bool) -> dict[int, Decision]:
        """Send what is queued; if the database is away it stays queued, and training goes on."""
        pause_s = 0.1
        while self._unsent:
            try:
                decisions = report(
                    self._database,
                    self._study.uuid,
                    list(self._unsent.values()),
                    lease_s=self._claimant.lease_s,
                    history=self._pruning_history,
                )
            except ServiceDown as error:
                log.warning("report_delayed", n_lanes=len(self._unsent), error=str(error))
                if not wait or self._interrupted():
                    return {}
                time.sleep(pause_s)
                pause_s = min(5.0, pause_s * 2)
                continue
            self._n_epochs += sum(len(item.epochs) for item in self._unsent.values())
            self._unsent.clear()
            return decisions
        return {}

    def _apply(self, decisions: Mapping[int, Decision]) -> tuple[frozenset[int], frozenset[int]]:
        drop, back = set(), set()
        for number, decision in decisions.items():
            if decision.verdict is Verdict.RECORDED:
                self._live.pop(number, None)
                self._n_ended += 1
            elif decision.verdict is Verdict.HAND_BACK:
                back.add(number)
            elif decision.verdict is not Verdict.CONTINUE:
                self._live.pop(number, None)
                drop.add(number)
                self._n_ended += decision.verdict is not Verdict.FENCED
        return frozenset(drop), frozenset(back)

    def _should_yield(self) -> bool:
        """Return whether another study is owed more, once the slice is over."""
        if time.monotonic() < self._slice_ends:
            return False
        try:
            other = next_study(self._database, self._claimant.device)
        except ServiceDown:
            return False
        self._slice_ends = time.monotonic() + self._turn_s
        return other is not None and other.uuid != self._study.uuid

    def _claim(self, n: int, *, is_idle: bool) -> list[ClaimedTrial]:
        if self._claiming is None:
            if n <= 0 or (time.monotonic() < self._claim_again_at and not is_idle):
                return []
            self._claiming = self._sampling_thread.submit(
                claim,
                self._database,
                self._study.uuid,
                n,
                str(uuid4()),
                self._claimant,
                self._sampling_history,
            )
        return self._collect_claim(timeout_s=None if is_idle else QUICK_CLAIM_S)

    def _collect_claim(self, timeout_s: float | None) -> list[ClaimedTrial]:
        if self._claiming is None:
            return []
        try:
            claimed = self._claiming.result(timeout_s)
        except NotYet:
            return []
        except ServiceDown as error:
            log.warning("claim_failed", error=str(error))
            claimed = []
        except Exception as error:
            log.exception("sampling_failed", study=self._study.name)
            fail_study(
                self._database,
                self._study.uuid,
                StateReason.INTERNAL,
                f"the sampler failed: {type(error).__name__}: {error}",
            )
            claimed = []
        self._claiming = None
        if not claimed:
            self._claim_again_at = time.monotonic() + CLAIM_AGAIN_S
        self._live.update({trial.number: trial for trial in claimed})
        return claimed

    def _lane_spec(self, trial: ClaimedTrial) -> LaneSpec:
        resume = None
        if trial.checkpoint is not None:
            resume = load_state(self._folder.parent / trial.checkpoint["path"])
            if resume is None or resume.epoch != trial.checkpoint["epoch"]:
                log.warning("checkpoint_unusable", number=trial.number)
                resume = None
        return LaneSpec(trial.number, trial.config, resume)

    def _ending(self, trial: ClaimedTrial, end: LaneEnd) -> Ending:
        if end.outcome is LaneOutcome.FAILED:
            kind = (FailureKind.USER_ERROR, "the trial failed without a reason")
            return Ending(TrialState.FAIL, failure=end.failure or kind)
        metrics = [objective.metric for objective in self._definition.objectives]
        values = tuple(float(end.best_metrics.get(metric, math.nan)) for metric in metrics)
        if not all(map(math.isfinite, values)):
            message = "an objective was not finite in any epoch"
            return Ending(TrialState.FAIL, failure=(FailureKind.DIVERGED, message))
        if end.weights is not None:
            self._save_model(trial, LaneState(end.best_epoch or 0, end.weights, {}))
        return Ending(
            TrialState.COMPLETE,
            best_epoch=end.best_epoch,
            values=values,
            test=end.test,
            stopped_early=end.stopped_early,
        )

    def _save_model(self, trial: ClaimedTrial, state: LaneState) -> None:
        """Save the weights of the best epoch; a full disk costs the model, not the result."""
        try:
            save_state(self._folder / str(trial.number) / "model.safetensors", state)
        except OSError as error:
            log.error("model_not_saved", number=trial.number, error=str(error))

    def _save(self, trial: ClaimedTrial, state: LaneState) -> dict[str, object] | None:
        """Save a lane's state; a trial whose file cannot be written starts again."""
        path = self._folder / str(trial.number) / f"attempt-{trial.attempt}.safetensors"
        try:
            save_state(path, state)
        except OSError as error:
            log.warning("checkpoint_not_saved", number=trial.number, error=str(error))
            return None
        relative = path.relative_to(self._folder.parent)
        return {"path": str(relative), "epoch": state.epoch}
