"""A pack's steps as programs that a device can be told to run again: all in memory that stays.

What changes from step to step stands in tables on the device (the order of the examples, the
learning rates, the keys of random numbers), and a clock on the device says where to read. So the
host tells the device the same at every step, and one call can stand for all of it.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.layers.compiler import has_kernels
from hpsearch.layers.network import Network
from hpsearch.logs import get_logger
from hpsearch.training.batches import orders
from hpsearch.training.capacity import is_out_of_memory
from hpsearch.training.graphs import Recorder
from hpsearch.training.lane import Lane
from hpsearch.training.resident import Resident
from hpsearch.training.step import Kind, Step
from hpsearch.training.table_update import FromTable, names_of, to_device

WINDOW = 1024  # steps the tables have room for; an epoch seldom has more
_MOST_PROGRAMS = 8  # of one pack: for so many numbers of lanes, and what else they differ in

Keys = Callable[[range, Sequence[Lane]], NDArray[np.int32]]
"""Returns the keys of what lanes draw at steps of the coming epoch, ``[steps, lanes, n, 2]``."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What all programs of one pack have in common.

    Attributes:
        network: The pack's.
        resident: The examples.
        batch: Examples of a batch.
        n_steps: Steps of an epoch.
        seed: The study's seed.
        keys: Makes the keys of random numbers.
        make_step: Makes a step of the first lanes, whose update is a :class:`FromTable`.
    """

    network: Network
    resident: Resident
    batch: int
    n_steps: int
    seed: int
    keys: Keys
    make_step: Callable[[Sequence[Lane]], Step]


class Programs:
    """The programs of a pack, kept for the next epoch that they fit; those long unused go.

    Args:
        recorder: Records them.
        parts: What they are made of; of tensors that do not move while the programs are kept.
    """

    def __init__(self, recorder: Recorder, parts: Parts) -> None:
        self._recorder: Recorder | None = recorder
        self._usual = recorder
        self._parts = parts
        self._kept: OrderedDict[Hashable, Program] = OrderedDict()

    def begin(self, lanes: Sequence[Lane]) -> "Program":
        """Return the program for an epoch of the first lanes, at its first step."""
        parts = self._parts
        found, which = orders(lanes, len(parts.resident.train), parts.seed)
        step = parts.make_step(lanes)
        names = names_of(lanes, parts.n_steps, WINDOW)
        key = (
            len(lanes),
            _room_for(len(found)),
            names,
            tuple(column is None for column in step.columns()),
            parts.network.variant(len(lanes)),
        )
        program = self._kept.pop(key, None)
        if program is None:
            while len(self._kept) >= _MOST_PROGRAMS:
                self._kept.popitem(last=False)
            program = Program(self, parts, step, names, len(lanes), _room_for(len(found)))
        self._kept[key] = program
        program.begin(lanes, step, found, which)
        return program

    def forget(self) -> None:
        """Let go of all programs: what they are made of is about to move."""
        self._kept.clear()

    def warm(self, work: Callable[[], None]) -> None:
        """Do work that may be recorded later."""
        self._usual.warm(work)

    def record(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """Return what does the work again; None if that cannot be recorded here."""
        if self._recorder is None:
            return None
        # what the network keeps from step to step has to be the recording's own
        self._parts.network.forget()
        try:
            return self._recorder.record(work)
        except RuntimeError as error:
            for cause in _causes(error):  # the end of a recording fails, too, and hides it
                if is_out_of_memory(cause):
                    raise cause from None
            log.warning("graph_not_recorded", reason=str(error)[:300], then="step by step")
            self._recorder = None
            return None
        finally:
            self._parts.network.forget()


class Program:
    """The steps of a number of lanes.

    Args:
        owner: Warms up and records.
        parts: Of the pack.
        step: Of lanes of the pack.
        names: Of the coefficients of the update.
        n_lanes: How many lanes.
        n_orders: Orders of examples there is room for; with one, the lanes share it.
    """

    def __init__(
        self,
        owner: Programs,
        parts: Parts,
        step: Step,
        names: tuple[str, ...],
        n_lanes: int,
        n_orders: int,
    ) -> None:
        self._owner, self._parts = owner, parts
        self.step = step
        assert isinstance(step.update, FromTable)  # noqa: S101 - the parts say so
        self._update = step.update
        self._n_lanes, self._n_orders = n_lanes, n_orders
        device, room = parts.resident.device, min(parts.n_steps, WINDOW)
        whole = partial(torch.zeros, dtype=torch.int64, device=device)
        self._clock = whole(2)  # row in the tables; first example of the batch
        self._tick = torch.tensor([1, parts.batch], device=device)
        self._places = torch.arange(parts.batch, device=device)
        self._orders = whole((n_orders, len(parts.resident.train)))
        self._which = whole(n_lanes)
        self._keys = torch.zeros(
            (room, n_lanes, parts.network.n_draws, 2), dtype=torch.int32, device=device
        )
        self._update.stand(names, room, self._clock[:1])
        self._lanes: Sequence[Lane] = ()
        self._window = range(0)
        self._next = 0
        self._warmed: set[Hashable] = set()
        self._recorded: dict[Hashable, Callable[[], None]] = {}

    def begin(
        self,
        lanes: Sequence[Lane],
        step: Step,
        found: Sequence[NDArray[np.int64]],
        which: Sequence[int],
    ) -> None:
        """Get ready for an epoch.

        Args:
            lanes: That play it.
            step: With the coefficients of these lanes.
            found: The different orders of the examples.
            which: Of them each lane has.
        """
        self._lanes, self._window = tuple(lanes), range(0)
        self._update.begin(self._lanes)
        self.step.begin_like(step)
        for row, order in enumerate(found):
            to_device(order, self._orders[row])
        to_device(np.asarray(which), self._which)
        self._go_to(0)

    def take(self, steps: range) -> None:
        """Take steps of the epoch, numbered from 0."""
        for number in steps:
            if number not in self._window or number != self._next:
                self._go_to(number)
            self._play(number)
            self._next = number + 1

    def _go_to(self, number: int) -> None:
        """Fill the tables from this step on, and set the clock."""
        parts = self._parts
        if number not in self._window:
            self._window = range(number, min(number + WINDOW, parts.n_steps))
            self._update.prepare(self._window)
            to_device(parts.keys(self._window, self._lanes), self._keys[: len(self._window)])
        self._next = number
        self._clock[0].fill_(number - self._window.start)
        self._clock[1].fill_(number * parts.batch)

    def _play(self, number: int) -> None:
        """Take one step: the first of its kind warms up, the second is recorded, too."""
        parts, kind = self._parts, self.step.kind(number)
        n_examples = min(parts.batch, len(parts.resident.train) - number * parts.batch)
        self.step.count(kind)
        key = (kind, n_examples)
        if key in self._recorded:
            self._recorded[key]()
            return
        work = partial(self._work, kind, n_examples)
        if key not in self._warmed:
            self._owner.warm(work)
            self._warmed.add(key)
            return
        replay = self._owner.record(work)
        if replay is None:
            self._owner.warm(work)
        else:
            self._recorded[key] = replay
            replay()

    def _work(self, kind: Kind, n_examples: int) -> None:
        """Do all of a step on the device: reads and writes what stands, never asks the host."""
        x, y = self._batch(n_examples)
        keys = self._keys.index_select(0, self._clock[:1])[0]
        self.step.take(x, y, 0, keys, kind)
        self._clock += self._tick

    def _batch(self, n_examples: int) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets that the clock points to, as :class:`Batches` does."""
        resident = self._parts.resident
        x, y = resident.train.x, resident.train.y
        which = self._which if self._n_orders > 1 else None
        if has_kernels(resident.device.type):
            from hpsearch.training.kernels import batch

            n_rows = n_examples * (1 if which is None else self._n_lanes)
            x_out = x.new_empty((n_rows, x.shape[1]), dtype=resident.dtype)
            y_out = y.new_empty((n_rows, *y.shape[1:]))
            batch.pick(
                x,
                y,
                self._orders,
                which,
                self._clock,
                x_out=x_out,
                y_out=y_out,
                shift=resident.splits.shift,
                factor=resident.splits.factor,
            )
        else:
            index = self._orders.index_select(1, self._places[:n_examples] + self._clock[1])
            if which is not None:
                index = index.index_select(0, which)
            x_out = resident.scaled(x.index_select(0, index.view(-1)))
            y_out = y.index_select(0, index.view(-1))
        if which is not None:
            x_out = x_out.view(self._n_lanes, n_examples, -1).transpose(1, 2)
            y_out = y_out.view(self._n_lanes, n_examples, *y.shape[1:])
        return x_out, y_out


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _room_for(n_orders: int) -> int:
    """Return the next power of two: not every number of orders needs a program of its own."""
    return 1 << (n_orders - 1).bit_length()
