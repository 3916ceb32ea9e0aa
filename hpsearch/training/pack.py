"""The trials trained together as one tensor program."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hpsearch.layers.stack import Stack, grown
from hpsearch.spec.sections import Task
from hpsearch.training.batches import Batches
from hpsearch.training.confusion import Confusion, class_metrics
from hpsearch.training.diagnosis import Watch, norms
from hpsearch.training.evaluation import evaluate
from hpsearch.training.graphs import recorder_of
from hpsearch.training.lane import Lane
from hpsearch.training.lanes import LaneState
from hpsearch.training.losses import Loss
from hpsearch.training.packing import model_of, optimizer_of
from hpsearch.training.program import Parts, Program, Programs
from hpsearch.training.resident import Resident
from hpsearch.training.seeds import draw_key, initial_generator, step_keys
from hpsearch.training.step import MakeUpdate, Step
from hpsearch.training.stepwise import Stepwise
from hpsearch.training.table_update import FromTable
from hpsearch.training.update import update_of

_CHUNK_S = 0.2  # between two looks at the clock and at the caller's wishes
_FIRST_CHUNK_STEPS = 4
_READY = 2  # steps of an epoch after which those to come cost what they cost


@dataclass(frozen=True, slots=True)
class Played:
    """What a pack measured in one epoch of training, a row for each lane.

    Attributes:
        sums: The loss's sums, ``[lanes, n_sums]``.
        grad_norm: Mean norm of the gradient, penalties included, before clipping.
        update_ratio: Mean ratio of a step's size to that of the weight matrices it changed.
        weight_norm: Norm of the weight matrices at the end.
    """

    sums: NDArray[Any]
    grad_norm: NDArray[Any]
    update_ratio: NDArray[Any]
    weight_norm: NDArray[Any]


class Pack:
    """Lanes of one signature: their weights, their optimizer's state, their best weights.

    Rows ``[0, len(lanes))`` of every stack are trained. A lane that leaves leaves a gap, which the
    next one to come fills; what is still a gap when training goes on is filled with the last lane.
    The snapshot holds every lane as of its last epoch boundary; of a lane that has not come to one
    yet neither it nor the best weights mean anything.

    Args:
        first: The lane whose shapes, family and optimizer the pack is made for.
        resident: The examples.
        loss: What is minimised.
        seed: The study's seed.
        is_exact: Whether results must not depend on the number of lanes.
    """

    def __init__(
        self, first: Lane, resident: Resident, loss: Loss, *, seed: int, is_exact: bool
    ) -> None:
        config = first.spec.config
        self._resident, self._loss, self._seed = resident, loss, seed
        self._is_exact = is_exact
        self._rule = type(optimizer_of(config))
        self._batch = min(config.training.batch_size, len(resident.train))
        self.shapes = dict(first.shapes)
        self._rows: list[Lane | None] = []  # None is a gap
        self._n_rows = 1  # there is room for
        self._network = model_of(config).network(
            self.shapes, n_rows=1, is_exact=is_exact, device=resident.device
        )
        # statistics of the network stand behind what is trained, and share its fate
        self._weights = Stack(
            self.shapes,
            1,
            dtype=resident.dtype,
            device=resident.device,
            blocks=model_of(config).blocks(),
        )
        self._gradients = self._weights.like(n_first=len(self._network.is_weight))
        self._best = self._weights.like()
        self._buffers = {name: self._gradients.like() for name in self._rule.buffers}
        self._snapshot = {
            "weights": self._weights.like(),
            **{name: buffer.like() for name, buffer in self._buffers.items()},
        }
        self._chunk_steps = _FIRST_CHUNK_STEPS
        self._recorder = recorder_of(resident.device)
        self._programs: Programs | None = None

    # --- lanes come and go -------------------------------------------------------------------

    @property
    def lanes(self) -> list[Lane]:
        """The lanes in the order of their rows."""
        return [lane for lane in self._rows if lane is not None]

    def add(self, lane: Lane, state: LaneState | None) -> None:
        """Take in a lane, from the beginning or from where it stood."""
        row = self._rows.index(None) if None in self._rows else len(self._rows)
        self._make_room(row + 1)
        if state is None:
            splits = self._resident.splits
            initial = model_of(lane.spec.config).initial(
                splits.n_inputs, splits.n_outputs, initial_generator(self._seed, lane.number)
            )
            self._weights.put(row, initial)
            for buffer in self._buffers.values():
                buffer.clear(row)
        else:
            self._weights.put(row, _named(state.arrays, "weights"))
            for name, buffer in self._buffers.items():
                buffer.put(row, _named(state.arrays, name))
            self._best.put(row, _named(state.arrays, "best"))
            for name, stack in self._snapshot.items():
                stack.copy_row(self._live(name), row)
        self._network.fit(row, lane.shapes, model_of(lane.spec.config).dropout_rates())
        self._rows[row : row + 1] = [lane]

    def spread(self, lanes: Sequence[Lane]) -> None:
        """Take in lanes with the first one's weights: to measure, they need none of their own."""
        self._close_gaps()
        row, first = len(self._rows), self.lanes[0]
        self._make_room(row + len(lanes))
        for lane in lanes:
            for stack in (self._weights, *self._buffers.values()):
                stack.move(0, row)
            rates = model_of(first.spec.config).dropout_rates()
            self._network.fit(row, first.shapes, rates)
            self._rows.append(lane)
            row += 1

    def remove(self, lane: Lane) -> None:
        """Let a lane go."""
        self._rows[self._rows.index(lane)] = None

    def _close_gaps(self) -> None:
        """Move the last lanes into the rows that nobody took."""
        while None in self._rows:
            last = self._rows.pop()
            if last is not None:
                row = self._rows.index(None)
                for stack in self._stacks():
                    stack.move(len(self._rows), row)
                self._network.move(len(self._rows), row)
                self._rows[row] = last

    def release(self) -> None:
        """Give the memory back; the pack is of no use afterwards."""
        self.forget_programs()
        self._weights = self._gradients = self._best = self._weights.like(0)
        self._buffers, self._snapshot = {}, {}
        del self._network

    def _make_room(self, n_rows: int) -> None:
        if n_rows <= self._n_rows:
            return
        self.forget_programs()
        room, n_lanes = max(n_rows, 2 * self._n_rows), len(self._rows)
        self._weights = grown(self._weights, room, n_lanes)
        self._gradients = self._gradients.like(room)
        self._best = grown(self._best, room, n_lanes)
        self._buffers = {n: grown(s, room, n_lanes) for n, s in self._buffers.items()}
        self._snapshot = {n: grown(s, room, n_lanes) for n, s in self._snapshot.items()}
        self._network.resize(room)
        self._n_rows = room  # last: where memory runs out on the way, not all have it

    def _live(self, name: str) -> Stack:
        return self._weights if name == "weights" else self._buffers[name]

    def _stacks(self) -> Iterator[Stack]:
        yield from (self._weights, self._best, *self._buffers.values(), *self._snapshot.values())

    # --- boundaries --------------------------------------------------------------------------

    def keep_best(self, lane: Lane) -> None:
        """Remember a lane's present weights as its best."""
        self._best.copy_row(self._weights, self._rows.index(lane))

    def commit(self) -> None:
        """Make the present weights and optimizer states what lanes leave with."""
        self._close_gaps()
        for name, stack in self._snapshot.items():
            stack.copy_rows(self._live(name), len(self.lanes))

    def best_weights(self, lane: Lane) -> dict[str, Any]:
        """Return the weights and statistics of a lane's best epoch."""
        arrays = self._best.take(self._rows.index(lane), lane.shapes)
        # a value without axes is a count, a whole number in torch's state dicts
        return {name: a if a.ndim else a.astype(np.int64) for name, a in arrays.items()}

    def state(self, lane: Lane) -> LaneState | None:
        """Return a lane as of its last epoch boundary; None before its first."""
        if lane.epoch == 0:
            return None
        row = self._rows.index(lane)
        stacks = {**self._snapshot, "best": self._best}
        return LaneState(
            epoch=lane.epoch,
            arrays={
                f"{name}/{parameter}": array
                for name, stack in stacks.items()
                for parameter, array in stack.take(row, lane.shapes).items()
            },
            meta={"step": lane.step, "tracker": lane.tracker.state()},
        )

    # --- training ----------------------------------------------------------------------------

    def train_epoch(self, poll: Callable[[], None]) -> Played:
        """Train every lane for one epoch.

        Args:
            poll: Called at least every half second of work; may raise to leave the epoch.

        Returns:
            What was measured on the way. When no lane has a finite loss any more, the epoch is
            not played to its end.
        """
        self._close_gaps()
        epoch = self.begin(self.lanes)
        done = 0
        while done < self.n_steps:
            started = time.monotonic()
            chunk = range(done, min(done + self._chunk_steps, self.n_steps))
            epoch.take(chunk)
            done = chunk.stop
            is_alive = bool(epoch.step.sums[:, 0].isfinite().any())  # the chunk's one sync
            self._pace(len(chunk), time.monotonic() - started)
            poll()
            if not is_alive:
                break
        matrices = self._weights.front(len(self.lanes))[: len(self._network.is_weight)]
        signs = (
            epoch.step.gradient_norm,
            epoch.step.update_ratio,
            norms(matrices, self._network.is_weight).double(),
        )
        # all in one copy: each makes the host wait
        measured = torch.cat((epoch.step.sums, torch.stack(signs, 1)), 1).cpu().numpy()
        return Played(measured[:, : -len(signs)], *measured[:, -len(signs) :].T)

    def try_out(self, n_lanes: int, n_steps: int) -> float:
        """Return the seconds that steps of the first lanes take; their weights are spoilt."""
        self._close_gaps()
        epoch = self.begin(self.lanes[:n_lanes])
        seconds, start = 0.0, min(_READY, self.n_steps - 1)
        if start:
            epoch.take(range(start))  # makes ready what all steps of an epoch read
        while n_steps > 0:
            chunk = range(start, min(start + n_steps, self.n_steps))
            self._synchronize()
            started = time.perf_counter()
            epoch.take(chunk)
            self._synchronize()
            seconds += time.perf_counter() - started
            n_steps -= len(chunk)
            start = 0
        return seconds

    def empty_copy(self) -> "Pack":
        """Return a pack of the same kind without a lane."""
        return type(self)(
            self.lanes[0], self._resident, self._loss, seed=self._seed, is_exact=self._is_exact
        )

    def begin(self, lanes: Sequence[Lane]) -> Stepwise | Program:
        """Return the coming epoch of the first lanes, whose steps are to be taken in order."""
        if self._recorder is None:
            batches = Batches(lanes, self._resident, self._batch, self._seed)
            return Stepwise(
                self._step(lanes), batches, self._resident, partial(self._keys, lanes=lanes)
            )
        if self._programs is None:
            self._programs = Programs(self._recorder, self._parts())
        return self._programs.begin(lanes)

    def _step(self, lanes: Sequence[Lane], make_update: MakeUpdate = update_of) -> Step:
        return Step(
            lanes,
            self._network,
            self._loss,
            weights=self._weights,
            gradients=self._gradients,
            buffers=tuple(self._buffers.values()),
            n_steps=self.n_steps,
            resident=self._resident,
            make_update=make_update,
        )

    def _parts(self) -> Parts:
        return Parts(
            network=self._network,
            resident=self._resident,
            batch=self._batch,
            n_steps=self.n_steps,
            seed=self._seed,
            keys=self._keys,
            make_step=partial(self._step, make_update=FromTable),
        )

    @property
    def is_recorded(self) -> bool:
        """Whether steps are recorded here, which makes an empty pack worth keeping."""
        return self._recorder is not None

    def forget_programs(self) -> None:
        """Let go of recorded steps and their memory: they are made again when needed."""
        if self._programs is not None:
            self._programs.forget()  # they know their pack: nobody else would free them soon
        self._programs = None

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _keys(self, steps: range, lanes: Sequence[Lane]) -> NDArray[np.int32]:
        """Return the keys of what the lanes draw, ``[steps, lanes, draws, 2]``."""
        numbers = np.arange(steps.start, steps.stop, dtype=np.int64) + 1
        per_lane = [
            step_keys(
                draw_key(self._seed, lane.number), lane.step + numbers, self._network.n_draws
            )
            for lane in lanes
        ]
        return np.stack(per_lane, 1)

    def count_steps(self) -> None:
        """Note that every lane has taken the steps of one epoch."""
        for lane in self.lanes:
            lane.step += self.n_steps

    @property
    def device(self) -> torch.device:
        """Where the pack is trained."""
        return self._resident.device

    @property
    def itemsize(self) -> int:
        """Bytes of a weight."""
        return self._resident.dtype.itemsize

    @property
    def n_steps(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self._resident.train) / self._batch)

    def validate(self, poll: Callable[[], None]) -> tuple[NDArray[Any], list[float] | None]:
        """Return the loss's sums ``[lanes, n_sums]`` over the validation split.

        The second value is each lane's share of hidden units that put out the same for every
        example; None if the network has none to show.
        """
        watch = Watch(self._network)
        sums = evaluate(
            self._network,
            self._weights.front(len(self.lanes)),
            self._resident.validation,
            loss=self._loss,
            resident=self._resident,
            poll=poll,
            watch=watch,
        )
        dead = watch.dead()
        if dead is None:
            return sums, None
        n_units = self._network.n_hidden(self.shapes)
        own = [self._network.n_hidden(lane.shapes) for lane in self.lanes]
        return sums, [
            (n_dead - (n_units - n_own)) / n_own for n_dead, n_own in zip(dead, own, strict=True)
        ]

    def test(
        self, lane: Lane, poll: Callable[[], None]
    ) -> tuple[dict[str, float], NDArray[Any] | None]:
        """Return a lane's metrics on the test split at its best epoch: ``loss`` and so on.

        The second value is the confusion matrix, None for a regression.
        """
        # a lane is tested alone, with its own masks in row 0 of a network of its own
        network = model_of(lane.spec.config).network(
            self.shapes, n_rows=1, is_exact=self._is_exact, device=self._resident.device
        )
        network.fit(0, lane.shapes)
        part, splits = self._resident.test, self._resident.splits
        confusion = None
        if splits.task is Task.CLASSIFICATION:
            confusion = Confusion(splits.n_outputs, self._resident.device)
        sums = evaluate(
            network,
            self._best.row(self._rows.index(lane)),
            part,
            loss=self._loss,
            resident=self._resident,
            poll=poll,
            watch=confusion,
        )
        metrics = self._loss.metrics(sums[0], len(part), "test")
        test = {name.removeprefix("test_"): value for name, value in metrics.items()}
        if confusion is None:
            return test, None
        counts = confusion.counts()
        return test | class_metrics(counts), counts

    def _pace(self, n_steps: int, seconds: float) -> None:
        wanted = int(n_steps * _CHUNK_S / max(seconds, 1e-6))
        self._chunk_steps = max(1, min(wanted, 4 * self._chunk_steps, 1000))


def _named(arrays: Mapping[str, Any], group: str) -> dict[str, Any]:
    prefix = f"{group}/"
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
