"""Which lanes of a run train together: its packs, and what is done where memory runs out."""

import traceback
from collections.abc import Callable, Hashable, Sequence
from functools import partial

import torch

from hpsearch.layers.stack import Shapes
from hpsearch.logs import get_logger
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.states import FailureKind
from hpsearch.training.capacity import (
    free_bytes,
    is_out_of_memory,
    most_lanes,
    most_of_kinds,
    pack_lanes,
)
from hpsearch.training.lane import Lane
from hpsearch.training.lanes import LaneEnd, LaneOutcome, LaneState
from hpsearch.training.pack import Pack
from hpsearch.training.packing import is_room, model_of, signature
from hpsearch.training.planner import MEMORY_SHARE, capacity_key, lane_bytes
from hpsearch.training.setup import Setup

_LEAST_LIVE = 2  # chosen by `auto`: one trains while the next is claimed and sampled

log = get_logger(__name__)


class Placement:
    """The packs of a run, and the lanes that wait for memory."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._packs: list[Pack] = []
        # lanes a pack may hold, less after it ran out of memory
        self._limits: dict[Pack, int] = {}
        # lanes there was no memory for beside the others; each is placed once it can be alone
        self._parked: dict[Lane, LaneState | None] = {}

    @property
    def packs(self) -> tuple[Pack, ...]:
        """Those that have lanes."""
        return tuple(self._packs)

    @property
    def is_empty(self) -> bool:
        """Whether no lane is left, in a pack or waiting."""
        return not self._packs and not self._parked

    def pack_of(self, lane: Lane) -> Pack | None:
        """Return the pack a lane is in, None if it waits."""
        if lane in self._parked:
            return None
        return next(pack for pack in self._packs if lane in pack.lanes)

    def state(self, lane: Lane) -> LaneState | None:
        """Return what to go on from later: the lane as of its last epoch, None before any."""
        pack = self.pack_of(lane)
        return self._parked[lane] if pack is None else pack.state(lane)

    def place(self, lane: Lane, state: LaneState | None, limit: int | None = None) -> None:
        """Put a lane into a pack that takes it, or into one of its own.

        Where there is no memory beside others it waits until they have ended; alone, it fails.

        Args:
            lane: In no pack yet.
            state: What it goes on from.
            limit: Lanes that a pack begun for it may hold at most.
        """
        while (pack := next((p for p in self._packs if self._takes(p, lane)), None)) is not None:
            if lack_of_memory(partial(pack.add, lane, state)) is None:
                return
            self._limits[pack] = len(pack.lanes)  # it is full, if not by number
        begin = partial(self._begin_pack, lane, state, limit)
        lack = lack_of_memory(begin)
        if lack is not None and self._setup.warm.clear():
            lack = lack_of_memory(begin)
        if lack is None:
            return
        if self._packs:
            self._parked[lane] = state
            return
        message = f"there is no memory for its weights: {lack}"
        lane.end = LaneEnd(LaneOutcome.FAILED, failure=(FailureKind.OOM, message))

    def place_next(self) -> None:
        """Place the lane that has waited longest; there is one, and nothing else trains."""
        lane = next(iter(self._parked))
        self.place(lane, self._parked.pop(lane))

    def leave(self, pack: Pack, lane: Lane) -> None:
        """Take a lane out of its pack."""
        kind = self._kind(lane.spec.config, pack.shapes)
        pack.remove(lane)
        if not pack.lanes:
            self._packs.remove(pack)
            del self._limits[pack]
            self._setup.warm.keep(kind, pack)  # or let it give its memory back

    def forget(self, lane: Lane) -> None:
        """Let go of a lane, wherever it is."""
        pack = self.pack_of(lane)
        if pack is None:
            del self._parked[lane]
        else:
            self.leave(pack, lane)

    def forget_programs(self) -> None:
        """Free the memory of what is recorded: where an exception leaves packs behind, too."""
        for pack in self._packs:
            pack.forget_programs()

    def halve(self, pack: Pack, error: BaseException) -> None:
        """Go on from the last boundary in packs of half the size; alone, the lane fails."""
        lanes = tuple(pack.lanes)
        log.warning("pack_out_of_memory", n_lanes=len(lanes), reason=str(error)[:200])
        is_alone = len(lanes) == len(self._packs) == 1
        if is_alone and not self._setup.warm.clear():
            message = f"one lane alone does not fit: {str(error)[:500]}"
            lanes[0].end = LaneEnd(LaneOutcome.FAILED, failure=(FailureKind.OOM, message))
            self.leave(pack, lanes[0])
            return
        states = [(lane, pack.state(lane)) for lane in lanes if lane.end is None]
        for lane in lanes:
            self.leave(pack, lane)
        # what the failed step holds is free before anything new is asked for
        traceback.clear_frames(error.__traceback__)
        self._setup.warm.clear()
        if self._setup.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(lanes) == 1:  # the other packs may be what it has no room for
            self._parked.update(states)
            return
        for lane, state in states:
            self.place(lane, state, limit=max(1, len(lanes) // 2))

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

    def n_free(self, live: Sequence[Lane]) -> int:
        """Return how many lanes may come beside those that are live."""
        setup = self._setup
        if self._parked:
            return 0
        if not live:
            most = most_lanes(setup.lanes, setup.device)
        elif setup.lanes != "auto":
            most = setup.lanes
        else:
            most = max(_LEAST_LIVE, self._most_live(live))
        return max(0, most - len(live))

    def measure(self, pack: Pack, epoch_s: float, poll: Callable[[], None]) -> None:
        """Find out how many lanes such a pack should hold; those that do not pay move on.

        Args:
            pack: At the end of an epoch.
            epoch_s: What that epoch took.
            poll: Called between two tries; may raise to leave.
        """
        planner, key = self._setup.planner, self._key(pack.lanes[0])
        if planner.known(key) is not None or not planner.is_due(key, pack, epoch_s):
            return
        self._setup.warm.clear()
        most = planner.measure(key, pack, poll)
        self._limits[pack] = most
        for lane in pack.lanes[most:][::-1]:
            state = pack.state(lane)
            pack.remove(lane)
            self.place(lane, state)

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

    def _most(self, lane: Lane) -> int:
        setup = self._setup
        if setup.lanes == "auto":
            measured = setup.planner.known(self._key(lane))
            if measured is not None:
                return measured
        known = model_of(lane.spec.config).most_lanes_on_cpu()
        return pack_lanes(setup.lanes, setup.device, lane.shapes, known)

    def _takes(self, pack: Pack, lane: Lane) -> bool:
        n_examples = len(self._setup.resident.train)
        first = pack.lanes[0].spec.config
        return (
            len(pack.lanes) < self._limits[pack]
            and signature(first, n_examples) == signature(lane.spec.config, n_examples)
            and is_room(lane.shapes, pack.shapes, is_exact=self._setup.is_exact)
        )

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

    def _key(self, lane: Lane) -> str:
        setup = self._setup
        kind = signature(lane.spec.config, len(setup.resident.train))
        return capacity_key(kind, lane, device=setup.device, is_exact=setup.is_exact)


def lack_of_memory(work: Callable[[], None]) -> str | None:
    """Do some work; return what was said if there was no memory for it, else None."""
    try:
        work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return str(error)[:500] or type(error).__name__
    return None
