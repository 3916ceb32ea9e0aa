"""One run of the engine: its packs take turns, its caller is asked who comes and who goes."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from hpsearch.errors import BrokenInvariant
from hpsearch.training.capacity import is_out_of_memory
from hpsearch.training.epoch import complete, play_epoch
from hpsearch.training.lane import Lane
from hpsearch.training.lanes import Boundary, HandedBack, LaneReport, LaneSpec, LaneState, Reply
from hpsearch.training.pack import Pack
from hpsearch.training.packing import model_of, work
from hpsearch.training.placement import Placement, lack_of_memory
from hpsearch.training.setup import Setup
from hpsearch.training.tracker import Tracker

_BOUNDARY_S = 0.2  # epochs shorter than this are reported together


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
        self._placement = Placement(setup)
        self._lanes: dict[int, Lane] = {}
        self._handed: list[HandedBack] = []
        self._is_stopping = False
        self._asked = 0.0

    def go(self) -> tuple[HandedBack, ...]:
        """Train to the end, or to an interruption."""
        try:
            self._ask()
            placement = self._placement
            if len(placement.packs) > 1 and self._n_free():
                self._ask()  # for kinds that differ: who begins together shares batches
            while not placement.is_empty and not self._is_stopping:
                if not placement.packs:
                    placement.place_next()
                    if self._is_due():
                        self._ask()
                for pack in placement.packs:
                    if pack in placement.packs:
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
            self._placement.forget_programs()
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

    def _play(self, pack: Pack) -> None:
        started = time.monotonic()
        playing = tuple(pack.lanes)
        try:
            self._epoch(pack)
            if self._setup.lanes == "auto" and len(playing) > 1 and pack.lanes:
                self._placement.measure(pack, time.monotonic() - started, self._poll)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._placement.halve(pack, error)
        finally:
            share = (time.monotonic() - started) / len(playing)
            for lane in playing:
                lane.device_seconds += share

    def _epoch(self, pack: Pack) -> None:
        if self._end_lanes(pack):  # resumed at their very end
            return
        play_epoch(pack, self._setup, self._poll)
        self._end_lanes(pack)

    def _end_lanes(self, pack: Pack) -> bool:
        """Take lanes that have ended out of the pack and return whether there were any."""
        for lane in pack.lanes:
            if lane.end is None and lane.epoch and lane.is_at_its_end:
                complete(pack, lane, self._poll)
        ended = [lane for lane in pack.lanes if lane.end is not None]
        for lane in ended:
            self._placement.leave(pack, lane)
        return bool(ended)

    def _poll(self) -> None:
        if self._interrupted():
            raise InterruptedRunError

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
        return self._placement.state(lane)

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
            self._placement.place(lane, resume)

    def _finish(self, lane: Lane) -> None:
        has_best = lane.tracker.best_epoch is not None
        pack = self._placement.pack_of(lane) if has_best else None
        if pack is None:
            lane.is_asked_to_finish = True
            return
        started = time.monotonic()
        # the reply has to be done whole: no polling
        lack = lack_of_memory(partial(complete, pack, lane, poll=lambda: None))
        lane.device_seconds += time.monotonic() - started
        if lack is not None:  # it ends with its pack's next epoch, where packs are halved
            lane.is_asked_to_finish = True
            return
        self._placement.leave(pack, lane)

    def _n_free(self) -> int:
        return self._placement.n_free([one for one in self._lanes.values() if one.end is None])

    def _hand_back(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            state = self._state_of(lane.number)
            self._handed.append(HandedBack(lane.number, state, lane.device_seconds))
            self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        self._placement.forget(lane)
        del self._lanes[lane.number]

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
