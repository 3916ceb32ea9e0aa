"""One run of the engine: its packs in rotation, its questions, who comes and who goes."""

import math
import time
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from hpsearch.errors import BrokenInvariant
from hpsearch.layers.stack import Shapes
from hpsearch.logs import get_logger
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.sections import EarlyStopping
from hpsearch.spec.states import FailureKind
from hpsearch.training.capacity import (
    Lanes,
    free_bytes,
    is_out_of_memory,
    most_lanes,
    most_of_kinds,
    pack_lanes,
)
from hpsearch.training.lane import Lane
from hpsearch.training.lanes import (
    Boundary,
    EpochResult,
    Goal,
    HandedBack,
    LaneEnd,
    LaneOutcome,
    LaneReport,
    LaneSpec,
    LaneState,
    Reply,
)
from hpsearch.training.losses import Loss
from hpsearch.training.pack import Pack
from hpsearch.training.packing import is_room, model_of, signature, work
from hpsearch.training.planner import MEMORY_SHARE, Planner, capacity_key, lane_bytes
from hpsearch.training.resident import Resident
from hpsearch.training.tracker import Tracker
from hpsearch.training.update import epoch_rate
from hpsearch.training.warm import Warm

_BOUNDARY_S = 0.2  # epochs shorter than this are reported together

_LEAST_LIVE = 2  # chosen by `auto`: one trains while the next is claimed and sampled

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Setup:
    """What all runs of an engine have in common; its arguments, and what was made of them."""

    goal: Goal
    seed: int
    early_stopping: EarlyStopping | None
    lanes: Lanes
    is_exact: bool
    resident: Resident
    loss: Loss
    planner: Planner
    precision: str = "exact"
    warm: Warm = field(default_factory=Warm)

    @property
    def device(self) -> torch.device:
        """Where the training happens."""
        return self.resident.device


class InterruptedRunError(Exception):
    """The caller wants its lanes back."""


class Run:
    """The lanes of one call of the engine's ``run``."""

    def __init__(
        self,
        setup: Setup,
        boundary: Callable[[Boundary], Reply],
        interrupted: Callable[[], bool],
    ) -> None:
        self._setup, self._boundary, self._interrupted = setup, boundary, interrupted
        self._packs: list[Pack] = []
        self._limits: dict[
            Pack, int
        ] = {}  # lanes a pack may hold, less after it ran out of memory
        self._lanes: dict[int, Lane] = {}
        # lanes there was no memory for beside the others; each is placed once it can be alone
        self._parked: dict[Lane, LaneState | None] = {}
        self._handed: list[HandedBack] = []
        self._is_stopping = False
        self._asked = 0.0

    def go(self) -> tuple[HandedBack, ...]:
        """Train to the end, or to an interruption."""
        try:
            self._ask()
            if len(self._packs) > 1 and self._n_free():
                self._ask()  # for kinds that differ: who begins together shares batches
            while (self._packs or self._parked) and not self._is_stopping:
                if not self._packs:
                    lane = next(iter(self._parked))
                    self._place(lane, self._parked.pop(lane))
                    if self._is_due():
                        self._ask()
                for pack in tuple(self._packs):
                    if pack in self._packs:
                        self._play(pack)
                    if self._is_due():
                        self._ask()
                    if self._is_stopping:
                        break
        except InterruptedRunError:
            self._is_stopping = True
            if any(lane.pending or lane.end for lane in self._lanes.values()):
                self._ask()
        finally:
            for pack in self._packs:  # where an exception leaves them, too, their memory is freed
                pack.forget_programs()
        self._hand_back(tuple(self._lanes.values()))
        return tuple(self._handed)

    def pack_of(self, specs: Sequence[LaneSpec]) -> Pack:
        """Return a pack of these trials, which have to fit one; it takes no part in the run."""
        lanes = [self._lane(spec) for spec in specs]
        setup = self._setup
        pack = Pack(lanes[0], setup.resident, setup.loss, seed=setup.seed, is_exact=setup.is_exact)
        for lane in lanes:
            pack.add(lane, None)
        return pack

    # --- one epoch of one pack ---------------------------------------------------------------

    def _play(self, pack: Pack) -> None:
        started = time.monotonic()
        playing = tuple(pack.lanes)
        try:
            self._epoch(pack, started)
            if self._setup.lanes == "auto" and len(playing) > 1 and pack.lanes:
                self._plan(pack, time.monotonic() - started)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._halve(pack, error)
        finally:
            share = (time.monotonic() - started) / len(playing)
            for lane in playing:
                lane.device_seconds += share

    def _epoch(self, pack: Pack, started: float) -> None:
        if self._end_lanes(pack):  # resumed at their very end
            return
        played = pack.train_epoch(self._poll)
        validation_sums, dead = pack.validate(self._poll)
        seconds = time.monotonic() - started
        pack.count_steps()
        loss, resident = self._setup.loss, self._setup.resident
        for row, lane in enumerate(tuple(pack.lanes)):
            metrics = {
                **loss.metrics(played.sums[row], len(resident.train), "train"),
                **loss.metrics(validation_sums[row], len(resident.validation), "val"),
                "grad_norm": float(played.grad_norm[row]),
                "learning_rate": epoch_rate(lane, pack.n_steps),
                "seconds": seconds,
            }
            signs = {
                "weight_norm": float(played.weight_norm[row]),
                "update_ratio": float(played.update_ratio[row]),
                **({} if dead is None else {"dead_units": dead[row]}),
            }
            self._record(pack, lane, metrics, signs)
        pack.commit()
        self._end_lanes(pack)

    def _end_lanes(self, pack: Pack) -> bool:
        """Take lanes that have ended out of the pack and return whether there were any."""
        for lane in pack.lanes:
            if lane.end is None and lane.epoch and lane.is_at_its_end:
                self._complete(pack, lane, self._poll)
        ended = [lane for lane in pack.lanes if lane.end is not None]
        for lane in ended:
            self._leave(pack, lane)
        return bool(ended)

    def _record(
        self, pack: Pack, lane: Lane, metrics: dict[str, float], signs: dict[str, float]
    ) -> None:
        """Note a lane's epoch: metrics must be finite, signs that are not are left out."""
        lane.epoch += 1
        wrong = next((name for name, value in metrics.items() if not math.isfinite(value)), None)
        if wrong is not None:
            message = f"{wrong} became {metrics[wrong]} in epoch {lane.epoch}"
            lane.end = LaneEnd(LaneOutcome.FAILED, failure=(FailureKind.DIVERGED, message))
            return
        metrics |= {name: value for name, value in signs.items() if math.isfinite(value)}
        lane.pending.append(EpochResult(lane.epoch, metrics))
        if lane.tracker.record(lane.epoch, metrics):
            pack.keep_best(lane)

    def _complete(self, pack: Pack, lane: Lane, poll: Callable[[], None]) -> None:
        tracker = lane.tracker
        test, confusion = pack.test(lane, poll)
        lane.end = LaneEnd(
            LaneOutcome.COMPLETED,
            best_epoch=tracker.best_epoch,
            best_metrics={**tracker.best_metrics, "n_parameters": float(lane.n_parameters)},
            test=test,
            confusion=None if confusion is None else tuple(map(tuple, confusion.tolist())),
            stopped_early=(
                tracker.is_out_of_patience and lane.epoch < lane.spec.config.training.epochs
            ),
            weights=pack.best_weights(lane),
        )

    def _poll(self) -> None:
        if self._interrupted():
            raise InterruptedRunError

    # --- memory ------------------------------------------------------------------------------

    def _halve(self, pack: Pack, error: BaseException) -> None:
        """Go on from the last boundary in packs of half the size; alone, the lane fails."""
        lanes = tuple(pack.lanes)
        log.warning("pack_out_of_memory", n_lanes=len(lanes), reason=str(error)[:200])
        is_alone = len(lanes) == len(self._packs) == 1
        if is_alone and not self._setup.warm.clear():
            message = f"one lane alone does not fit: {str(error)[:500]}"
            lanes[0].end = LaneEnd(LaneOutcome.FAILED, failure=(FailureKind.OOM, message))
            self._leave(pack, lanes[0])
            return
        states = [(lane, pack.state(lane)) for lane in lanes if lane.end is None]
        for lane in lanes:
            self._leave(pack, lane)
        # what the failed step holds is free before anything new is asked for
        traceback.clear_frames(error.__traceback__)
        self._setup.warm.clear()
        if self._setup.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(lanes) == 1:  # the other packs may be what it has no room for
            self._parked.update(states)
            return
        for lane, state in states:
            self._place(lane, state, limit=max(1, len(lanes) // 2))

    # --- boundaries --------------------------------------------------------------------------

    def _is_due(self) -> bool:
        if any(lane.end is not None for lane in self._lanes.values()):
            return True
        is_late = time.monotonic() - self._asked >= _BOUNDARY_S
        return is_late and any(lane.pending for lane in self._lanes.values())

    def _ask(self) -> None:
        """Report what is new, and do what the caller replies; again while lanes end by it."""
        while True:
            reports = tuple(self._reports())
            free = 0 if self._is_stopping else self._n_free()
            reply = self._boundary(Boundary(reports, len(self._lanes), free, self._state_of))
            self._asked = time.monotonic()
            self._apply(reply)
            if not any(lane.end is not None for lane in self._lanes.values()):
                return

    def _reports(self) -> Iterator[LaneReport]:
        for lane in tuple(self._lanes.values()):
            if not lane.pending and lane.end is None:
                continue
            yield LaneReport(
                lane.number,
                tuple(lane.pending),
                lane.device_seconds,
                lane.n_parameters,
                lane.end,
            )
            lane.pending.clear()
            if lane.end is not None:
                del self._lanes[lane.number]

    def _state_of(self, number: int) -> LaneState | None:
        lane = self._lanes.get(number)
        if lane is None or lane.end is not None:
            return None
        return self._parked[lane] if lane in self._parked else self._pack_of(lane).state(lane)

    def _apply(self, reply: Reply) -> None:
        for number in reply.drop & self._lanes.keys():
            self._forget(self._lanes[number])
        self._hand_back(
            tuple(self._lanes[number] for number in reply.hand_back & self._lanes.keys())
        )
        if not self._is_stopping:
            for number in reply.finish & self._lanes.keys():
                self._finish(self._lanes[number])
        self._is_stopping = self._is_stopping or reply.hand_back_all
        if self._is_stopping:  # what was admitted nevertheless is not lost
            self._handed += [HandedBack(one.number, one.resume, 0.0) for one in reply.admit]
            return
        for lane, resume in sorted(
            ((self._lane(spec), spec.resume) for spec in reply.admit),
            key=lambda admitted: -work(admitted[0].shapes),  # the widest makes the pack
        ):
            self._place(lane, resume)

    def _finish(self, lane: Lane) -> None:
        if lane.tracker.best_epoch is None or lane in self._parked:
            lane.is_asked_to_finish = True
            return
        pack = self._pack_of(lane)
        started = time.monotonic()
        # the reply has to be done whole: no polling
        lack = self._lack_of_memory(lambda: self._complete(pack, lane, poll=lambda: None))
        lane.device_seconds += time.monotonic() - started
        if lack is not None:  # it ends with its pack's next epoch, where packs are halved
            lane.is_asked_to_finish = True
            return
        self._leave(pack, lane)

    def _hand_back(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            state = self._state_of(lane.number)
            self._handed.append(HandedBack(lane.number, state, lane.device_seconds))
            self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        if lane in self._parked:
            del self._parked[lane]
        else:
            self._leave(self._pack_of(lane), lane)
        del self._lanes[lane.number]

    # --- packs -------------------------------------------------------------------------------

    def _lane(self, spec: LaneSpec) -> Lane:
        if spec.number in self._lanes:
            raise BrokenInvariant(f"trial {spec.number} is in training already")
        splits = self._setup.resident.splits
        model = model_of(spec.config).fitted(splits.input_shape)
        rule = spec.config.training.early_stopping or self._setup.early_stopping
        lane = Lane(
            replace(spec, config=replace(spec.config, model=model)),
            {
                **model.shapes(splits.n_inputs, splits.n_outputs),
                **model.statistics(splits.n_inputs, splits.n_outputs),
            },
            model.n_parameters(splits.n_inputs, splits.n_outputs),
            Tracker(self._setup.goal, rule),
        )
        if spec.resume is not None:
            lane.restore(spec.resume)
        self._lanes[spec.number] = lane
        return lane

    def _place(self, lane: Lane, state: LaneState | None, limit: int | None = None) -> None:
        """Put a lane into a pack that takes it, or into one of its own."""
        while (pack := next((p for p in self._packs if self._takes(p, lane)), None)) is not None:
            if self._lack_of_memory(partial(pack.add, lane, state)) is None:
                return
            self._limits[pack] = len(pack.lanes)  # it is full, if not by number
        begin = partial(self._begin_pack, lane, state, limit)
        lack = self._lack_of_memory(begin)
        if lack is not None and self._setup.warm.clear():
            lack = self._lack_of_memory(begin)
        if lack is None:
            return
        if self._packs:
            self._parked[lane] = state
            return
        message = f"there is no memory for its weights: {lack}"
        lane.end = LaneEnd(LaneOutcome.FAILED, failure=(FailureKind.OOM, message))

    def _begin_pack(self, lane: Lane, state: LaneState | None, limit: int | None) -> None:
        setup = self._setup
        pack = setup.warm.take(self._kind(lane.spec.config, lane.shapes))
        if pack is None:
            self._check_memory(lane)
            pack = Pack(lane, setup.resident, setup.loss, seed=setup.seed, is_exact=setup.is_exact)
        pack.add(lane, state)
        most = self._most(lane)
        self._limits[pack] = most if limit is None else min(most, limit)
        self._packs.append(pack)

    def _check_memory(self, lane: Lane) -> None:
        """Raise what a CPU would not: it promises more memory than it has, and kills later.

        Raises:
            MemoryError: The lane alone takes more than is free.
        """
        device = self._setup.device
        if device.type != "cpu":
            return
        needed, free = lane_bytes(lane, self._setup.resident.dtype.itemsize), free_bytes(device)
        if needed > free:
            raise MemoryError(f"it takes {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free")

    def _kind(self, config: TrialConfig, shapes: Shapes) -> Hashable:
        """Return what packs have in common that can take each other's place."""
        setup = self._setup
        return (
            setup.resident,
            setup.seed,
            setup.precision,
            signature(config, len(setup.resident.train)),
            tuple(shapes.items()),
        )

    @staticmethod
    def _lack_of_memory(work: Callable[[], None]) -> str | None:
        """Do some work; return what was said if there was no memory for it, else None."""
        try:
            work()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return str(error)[:500] or type(error).__name__
        return None

    def _most(self, lane: Lane) -> int:
        setup = self._setup
        if setup.lanes == "auto":
            measured = setup.planner.known(self._key(lane))
            if measured is not None:
                return measured
        known = model_of(lane.spec.config).most_lanes_on_cpu()
        return pack_lanes(setup.lanes, setup.device, lane.shapes, known)

    def _key(self, lane: Lane) -> str:
        setup = self._setup
        kind = signature(lane.spec.config, len(setup.resident.train))
        return capacity_key(kind, lane, device=setup.device, is_exact=setup.is_exact)

    def _plan(self, pack: Pack, epoch_s: float) -> None:
        """Find out how many lanes such a pack should hold; those that do not pay move on."""
        planner, key = self._setup.planner, self._key(pack.lanes[0])
        if planner.known(key) is not None or not planner.is_due(key, pack, epoch_s):
            return
        self._setup.warm.clear()
        most = planner.measure(key, pack, self._poll)
        self._limits[pack] = most
        for lane in pack.lanes[most:][::-1]:
            state = pack.state(lane)
            pack.remove(lane)
            self._place(lane, state)

    def _takes(self, pack: Pack, lane: Lane) -> bool:
        n_examples = len(self._setup.resident.train)
        first = pack.lanes[0].spec.config
        return (
            len(pack.lanes) < self._limits[pack]
            and signature(first, n_examples) == signature(lane.spec.config, n_examples)
            and is_room(lane.shapes, pack.shapes, is_exact=self._setup.is_exact)
        )

    def _leave(self, pack: Pack, lane: Lane) -> None:
        kind = self._kind(lane.spec.config, pack.shapes)
        pack.remove(lane)
        if not pack.lanes:
            self._packs.remove(pack)
            del self._limits[pack]
            self._setup.warm.keep(kind, pack)  # or let it give its memory back

    def _pack_of(self, lane: Lane) -> Pack:
        return next(pack for pack in self._packs if lane in pack.lanes)

    def _n_free(self) -> int:
        setup = self._setup
        if self._parked:
            return 0
        live = [lane for lane in self._lanes.values() if lane.end is None]
        if not live:
            most = most_lanes(setup.lanes, setup.device)
        elif setup.lanes != "auto":
            most = setup.lanes
        else:
            most = max(_LEAST_LIVE, self._most_live(live))
        return max(0, most - len(live))

    def _most_live(self, live: Sequence[Lane]) -> int:
        """Return how many lanes to hold beside these, they included, chosen by `auto`."""
        setup = self._setup
        if setup.device.type != "cpu":  # no more lanes than pay for the widest
            return min(self._most(lane) for lane in live)
        limits = {
            self._kind(pack.lanes[0].spec.config, pack.shapes): self._limits[pack]
            for pack in self._packs
        }
        a_lane = max(lane_bytes(lane, setup.resident.dtype.itemsize) for lane in live)
        room = int(MEMORY_SHARE * free_bytes(setup.device) / a_lane)
        return min(most_of_kinds(limits, len(live)), len(live) + room)
