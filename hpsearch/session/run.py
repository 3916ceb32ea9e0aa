"""One run of the engine on one study: its boundaries answered, its leases kept."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hpsearch.errors import ServiceDown
from hpsearch.faults import Window, reached
from hpsearch.logs import get_logger
from hpsearch.session.checkpoints import Checkpoints
from hpsearch.session.claims import Admission, Claims
from hpsearch.session.outage import Outage
from hpsearch.session.states import StateCache
from hpsearch.spec.definition import Definition
from hpsearch.spec.states import FailureKind, TrialState
from hpsearch.storage import workers
from hpsearch.storage.database import Database, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.claim import Claimant, ClaimedTrial
from hpsearch.studies.judged import judged_study
from hpsearch.studies.next_study import has_suspects, lead
from hpsearch.studies.recover import HandBack, hand_back, renew_leases
from hpsearch.studies.report import Decision, Ending, TrialReport, Verdict, report
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
STALLED_AFTER_S = 60.0  # no progress for this long in training: leases are no longer renewed
LOADING_LIMIT_S = 600.0  # the same while data is loaded, code compiled, points sampled
MAX_UNSENT_EPOCHS = 10_000  # kept while the database is away; then the training waits for it
NAP_S = 0.2  # between two looks, while the database is away, whether somebody wants us to stop
LAST_WORDS_S = 3.0  # a trainer that is told to leave has 7 s
ASK_AGAIN_SHARE = 0.1  # of a slice: how often to look, once it is over, whether to leave
LEAD_SHARE = 0.5  # of a slice: what a study is ahead when it leaves, and behind when it is next


MAX_CLASSES_SHOWN = 100  # a larger confusion matrix is no picture any more


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
        checkpoint_s: float,
        artifacts_dir: Path,
        states: StateCache,
        interrupted: Callable[[], bool],
        progress: Callable[[], None],
    ) -> None:
        self._database = database
        self._study = study
        self._definition = definition
        self._claimant = claimant
        self._turn_s = turn_s
        self._interrupted = interrupted
        self._progress = progress
        self._checkpoints = Checkpoints(database, study.uuid, artifacts_dir, checkpoint_s, states)
        self._claims = Claims(database, study, claimant, self._checkpoints.load)
        self._judged = judged_study(definition, study.study_id)
        self._live: dict[int, ClaimedTrial] = {}
        self._advanced: set[int] = set()  # lanes with an epoch in this turn
        self._ended: set[int] = set()
        self._replaced: frozenset[int] = frozenset()
        self._unsent: dict[int, TrialReport] = {}
        self._outage, self._lease_outage = Outage("report"), Outage("renew leases")
        self._slice_ends = time.monotonic() + turn_s
        self._ahead_since: float | None = None
        self._is_leaving = False
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
        reached(Window.TRAINING)
        return self._interrupted()

    def boundary(self, boundary: Boundary) -> Reply:
        """Report what was measured, learn what becomes of each lane, admit new ones."""
        self._stalls_after_s = LOADING_LIMIT_S
        for lane in boundary.reports:
            self._queue(lane)
        drop, finish, is_over = self._apply(self._send(wait=boundary.n_live == 0))
        if is_over or self._interrupted() or self._should_leave():
            return Reply(drop=drop, finish=finish, hand_back_all=True)
        if self._checkpoints.is_due() and not self._unsent:
            self._save_running(boundary.state_of)
        n_leaving = len(drop - self._ended)  # the others have left the engine by themselves
        is_idle = boundary.n_live <= n_leaving
        admitted = self._claim(boundary.n_free + n_leaving, is_idle=is_idle)
        drop |= self._replaced
        self._replaced = frozenset()
        specs = tuple(LaneSpec(trial.number, trial.config, state) for trial, state in admitted)
        return Reply(drop=drop, finish=finish, admit=specs)

    def hand_back(self, lanes: tuple[HandedBack, ...]) -> None:
        """Put unfinished lanes back to WAITING, each with a checkpoint of its last epoch."""
        self._admitted(self._claims.collect(timeout_s=None))
        unanswered = self._claims.claim_id
        returned = {lane.number: lane for lane in lanes if lane.number not in self._replaced}
        backs = []
        for number, trial in self._live.items():
            lane = returned.get(number)
            checkpoint = None
            if lane is not None and lane.state is not None:
                checkpoint = self._checkpoints.save(trial, lane.state)
            spent = 0.0 if lane is None else lane.device_seconds
            backs.append(HandBack(number, trial.token, spent, checkpoint))
        reached(Window.HAND_BACK_WRITTEN)
        until = time.monotonic() + LAST_WORDS_S
        while True:
            try:
                self._apply(self._report())  # else the epochs would not be there to go on from
                saved = hand_back(self._database, self._study.uuid, backs, unanswered)
                break
            except ServiceDown:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        paths = {back.number: back.checkpoint["path"] for back in backs if back.checkpoint}
        self._checkpoints.keep_only({number: paths[number] for number in saved})
        self._live.clear()

    @contextmanager
    def keeping_leases(self) -> Iterator[None]:
        """Renew the leases of live lanes in a thread, while the training shows progress."""
        done = threading.Event()

        def renew() -> None:
            while True:
                self._renew()
                if done.wait(min(workers.HEARTBEAT_S, self._claimant.lease_s / 3)):
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
        self._claims.close()
        self._checkpoints.close()

    def _renew(self) -> None:
        if time.monotonic() - self._progress_at > self._stalls_after_s:
            log.error("training_stalled", study=self._study.name)
            return
        tokens = [trial.token for trial in list(self._live.values())]
        try:
            renew_leases(
                self._database,
                self._study.uuid,
                tokens,
                self._claimant.lease_s,
                self._claims.claim_id,
            )
            with self._database.write() as tx:
                workers.touch(
                    tx,
                    self._claimant.worker,
                    self._claimant.device,
                    self._study.uuid,
                    len(tokens),
                    now(tx),
                )
            self._lease_outage.answered()
        except ServiceDown as error:
            self._lease_outage.failed(error)

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
        if lane.end is not None:
            self._ended.add(lane.number)
        old = self._unsent.get(lane.number)
        if old is not None:
            new = replace(new, epochs={**old.epochs, **new.epochs})
        self._unsent[lane.number] = new

    def _send(self, *, wait: bool) -> dict[int, Decision]:
        """Send what is queued; if the database is away it stays queued, and training goes on.

        Args:
            wait: There is nothing to train meanwhile.
        """
        while self._unsent:
            rest_s = self._outage.rest_s
            if rest_s > 0:
                is_full = self._n_unsent() > MAX_UNSENT_EPOCHS
                if not (wait or is_full) or self.is_interrupted():
                    return {}
                time.sleep(min(rest_s, NAP_S))
                continue
            with contextlib.suppress(ServiceDown):
                return self._report()
        return {}

    def _n_unsent(self) -> int:
        return sum(len(item.epochs) for item in self._unsent.values())

    def _report(self) -> dict[int, Decision]:
        if not self._unsent:
            return {}
        try:
            decisions = report(
                self._database,
                self._study.uuid,
                list(self._unsent.values()),
                lease_s=self._claimant.lease_s,
                judged=self._judged,
            )
        except ServiceDown as error:
            self._outage.failed(error)
            raise
        self._outage.answered()
        self._n_epochs += self._n_unsent()
        self._advanced |= {item.number for item in self._unsent.values() if item.epochs}
        self._unsent.clear()
        return decisions

    def _apply(
        self, decisions: Mapping[int, Decision]
    ) -> tuple[frozenset[int], frozenset[int], bool]:
        """Return which lanes to drop, which to finish, and whether all are wanted back."""
        drop, finish, is_over = set(), set(), False
        for number, decision in decisions.items():
            if decision.verdict is Verdict.FINISH:
                finish.add(number)
            elif decision.verdict is Verdict.HAND_BACK:
                is_over = True
            elif decision.verdict is not Verdict.CONTINUE:
                self._live.pop(number, None)
                drop.add(number)
        ended = {n for n in drop if decisions[n].verdict is not Verdict.FENCED}
        self._n_ended += len(ended)
        self._checkpoints.discard(ended)
        return frozenset(drop), frozenset(finish), is_over

    def _should_leave(self) -> bool:
        """Return whether others are owed more, once the slice is over and every lane advanced."""
        if not self._is_leaving:
            if time.monotonic() < self._slice_ends:
                return False
            self._slice_ends = time.monotonic() + self._turn_s * ASK_AGAIN_SHARE
            self._is_leaving = self._is_enough()
        return self._is_leaving and self._live.keys() <= self._advanced

    def _is_enough(self) -> bool:
        """Return whether this study has had what it is owed, and half a slice on top.

        Turns that end when the study is just ahead would let whoever came last be ahead by a
        whole turn; so each is ahead by half a turn and behind by half a turn.
        """
        at, uuid = time.monotonic(), self._study.uuid
        try:
            ahead_s = lead(self._database, self._claimant.device, uuid)
            # suspects are for a worker that trains nothing else
            if has_suspects(self._database, uuid):
                return True
        except ServiceDown:
            return False
        if ahead_s is None or ahead_s <= 0:
            self._ahead_since = None
            return False
        if self._ahead_since is None:
            self._ahead_since = at
        # a device that is busy with other things than training must not keep others waiting
        return max(ahead_s, at - self._ahead_since) >= LEAD_SHARE * self._turn_s

    def _claim(self, n: int, *, is_idle: bool) -> list[Admission]:
        if not self._is_leaving:
            self._claims.ask(n, is_idle=is_idle)
        claimed = self._claims.collect(None if is_idle else QUICK_CLAIM_S)
        while is_idle and self._claims.claim_id is not None and not self.is_interrupted():
            # the database is away: what it may have leased to us is ours
            time.sleep(min(self._claims.rest_s, NAP_S))
            self._claims.ask(n, is_idle=True)
            claimed = self._claims.collect(None)
        return self._admitted(claimed)

    def _admitted(self, claimed: list[Admission]) -> list[Admission]:
        numbers = {trial.number for trial, _ in claimed}
        # who lost their leases while the database was away, and are here for the second time
        self._replaced |= numbers & self._live.keys()
        for number in self._replaced:
            self._unsent.pop(number, None)
        self._live.update({trial.number: trial for trial, _ in claimed})
        self._advanced -= numbers
        self._ended -= numbers
        return claimed

    def _save_running(self, state_of: Callable[[int], LaneState | None]) -> None:
        lanes = {}
        for number, trial in self._live.items():
            state = state_of(number)
            if state is not None:
                lanes[trial.token] = (trial, state)
        self._checkpoints.save_running(lanes)

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
            state = LaneState(end.best_epoch or 0, end.weights, {})
            self._checkpoints.save_model(trial, state)
            reached(Window.MODEL_WRITTEN)
        return Ending(
            TrialState.COMPLETE,
            best_epoch=end.best_epoch,
            values=values,
            test=end.test,
            confusion=_shown(end.confusion),
            stopped_early=end.stopped_early,
        )


def _shown(confusion: tuple[tuple[int, ...], ...] | None) -> tuple[tuple[int, ...], ...] | None:
    return None if confusion is None or len(confusion) > MAX_CLASSES_SHOWN else confusion
