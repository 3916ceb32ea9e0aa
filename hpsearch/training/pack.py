"""The trials trained together as one tensor program."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.layers.network import Network
from hpsearch.layers.stack import Stack, grown
from hpsearch.training.lane import Lane
from hpsearch.training.lanes import LaneState
from hpsearch.training.losses import Loss
from hpsearch.training.packing import model_of, optimizer_of
from hpsearch.training.resident import Resident, ResidentPart
from hpsearch.training.seeds import epoch_order, initial_generator

_CHUNK_S = 0.2  # between two looks at the clock and at the caller's wishes
_FIRST_CHUNK_STEPS = 4
_BLOCK_BYTES = 1 << 18  # inputs gathered at once: several small steps, or one large one
_NORM_EVERY = 8  # steps between two samples of the gradient's norm: each costs a pass over it
_EVALUATION_BATCH = {"cpu": 512, "cuda": 8192}  # fixed: a lane's sums must not depend on others
_CLIP_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_'s


class Pack:
    """Lanes of one signature: their weights, their optimizer's state, their best weights.

    Rows ``[0, len(lanes))`` of every stack are live; a lane that leaves has the last one moved
    into its place. The snapshot holds every lane as of its last epoch boundary.

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
        self.lanes: list[Lane] = []
        self._network = model_of(config).network(
            self.shapes, n_rows=1, is_exact=is_exact, device=resident.device
        )
        self._weights = Stack(self.shapes, 1, dtype=resident.dtype, device=resident.device)
        self._gradients = self._weights.like()
        self._best = self._weights.like()
        self._buffers = {name: self._weights.like() for name in self._rule.buffers}
        self._snapshot = {name: self._weights.like() for name in ("weights", *self._buffers)}
        self._chunk_steps = _FIRST_CHUNK_STEPS

    # --- lanes come and go -------------------------------------------------------------------

    def add(self, lane: Lane, state: LaneState | None) -> None:
        """Take in a lane, from the beginning or from where it stood."""
        row = len(self.lanes)
        self._make_room(row + 1)
        if state is None:
            splits = self._resident.splits
            initial = model_of(lane.spec.config).initial(
                splits.n_inputs, splits.n_outputs, initial_generator(self._seed, lane.number)
            )
            self._weights.put(row, initial)
            for buffer in self._buffers.values():
                buffer.clear(row)
            self._best.clear(row)
        else:
            self._weights.put(row, _named(state.arrays, "weights"))
            for name, buffer in self._buffers.items():
                buffer.put(row, _named(state.arrays, name))
            self._best.put(row, _named(state.arrays, "best"))
        self._network.fit(row, lane.shapes)
        self.lanes.append(lane)
        for name, stack in self._snapshot.items():
            stack.copy_row(self._live(name), row)

    def remove(self, lane: Lane) -> None:
        """Let a lane go; the last one moves into its row."""
        row, last = self.lanes.index(lane), len(self.lanes) - 1
        if row != last:
            for stack in self._stacks():
                stack.move(last, row)
            self._network.move(last, row)
            self.lanes[row] = self.lanes[last]
        self.lanes.pop()

    def _make_room(self, n_rows: int) -> None:
        have = self._weights.n_rows
        if n_rows <= have:
            return
        room, n_lanes = max(n_rows, 2 * have), len(self.lanes)
        self._weights = grown(self._weights, room, n_lanes)
        self._gradients = self._weights.like()
        self._best = grown(self._best, room, n_lanes)
        self._buffers = {n: grown(s, room, n_lanes) for n, s in self._buffers.items()}
        self._snapshot = {n: grown(s, room, n_lanes) for n, s in self._snapshot.items()}
        self._network.resize(room)

    def _live(self, name: str) -> Stack:
        return self._weights if name == "weights" else self._buffers[name]

    def _stacks(self) -> Iterator[Stack]:
        yield from (self._weights, self._best, *self._buffers.values(), *self._snapshot.values())

    # --- boundaries --------------------------------------------------------------------------

    def keep_best(self, lane: Lane) -> None:
        """Remember a lane's present weights as its best."""
        self._best.copy_row(self._weights, self.lanes.index(lane))

    def commit(self) -> None:
        """Make the present weights and optimizer states what lanes leave with."""
        for name, stack in self._snapshot.items():
            stack.copy_rows(self._live(name), len(self.lanes))

    def best_weights(self, lane: Lane) -> dict[str, Any]:
        """Return the weights of a lane's best epoch."""
        return self._best.take(self.lanes.index(lane), lane.shapes)

    def state(self, lane: Lane) -> LaneState:
        """Return a lane as of its last epoch boundary."""
        row = self.lanes.index(lane)
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

    def train_epoch(self, poll: Callable[[], None]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Train every lane for one epoch.

        Args:
            poll: Called at least every half second of work; may raise to leave the epoch.

        Returns:
            The loss's sums ``[lanes, n_sums]`` and the mean gradient norm ``[lanes]``. When no
            lane has a finite loss any more, the epoch is not played to its end.
        """
        n_lanes, device = len(self.lanes), self._resident.device
        orders, is_shared = self._orders()
        sums = torch.zeros((n_lanes, self._loss.n_sums), dtype=torch.float64, device=device)
        norms = torch.zeros(n_lanes, dtype=torch.float64, device=device)
        step_program = _Step(self, n_lanes, sums, norms)
        n_steps, done, n_norms = math.ceil(orders.shape[-1] / self._batch), 0, 0
        while done < n_steps:
            started = time.monotonic()
            chunk = range(done, min(done + self._chunk_steps, n_steps))
            coefficients = self._coefficients(chunk)
            for offset, (x, y) in enumerate(self._batches(orders, chunk, is_shared)):
                is_sampled = chunk[offset] % _NORM_EVERY == 0
                step_program(x, y, coefficients.at(offset), is_sampled=is_sampled)
                n_norms += is_sampled
            done = chunk.stop
            is_alive = bool(sums[:, 0].isfinite().any())  # the chunk's one sync with the device
            self._pace(len(chunk), time.monotonic() - started)
            poll()
            if not is_alive:
                break
        return sums.cpu().numpy(), (norms / max(n_norms, 1)).cpu().numpy()

    def count_steps(self) -> None:
        """Note that every lane has taken the steps of one epoch."""
        for lane in self.lanes:
            lane.step += math.ceil(len(self._resident.train) / self._batch)

    def validate(self, poll: Callable[[], None]) -> NDArray[Any]:
        """Return the loss's sums ``[lanes, n_sums]`` over the validation split."""
        parameters = self._weights.front(len(self.lanes))
        return self._evaluate(self._network, parameters, self._resident.validation, poll)

    def test(self, lane: Lane, poll: Callable[[], None]) -> dict[str, float]:
        """Return a lane's metrics on the test split at its best epoch: ``loss`` and so on."""
        row = self.lanes.index(lane)
        part = self._resident.test
        # a lane is tested alone, with its own masks in row 0 of a network of its own
        network = model_of(lane.spec.config).network(
            self.shapes, n_rows=1, is_exact=self._is_exact, device=self._resident.device
        )
        network.fit(0, lane.shapes)
        sums = self._evaluate(network, self._best.row(row), part, poll)
        metrics = self._loss.metrics(sums[0], len(part), "test")
        return {name.removeprefix("test_"): value for name, value in metrics.items()}

    def _evaluate(
        self,
        network: Network,
        parameters: Sequence[Tensor],
        part: ResidentPart,
        poll: Callable[[], None],
    ) -> NDArray[Any]:
        sums = torch.zeros(
            (parameters[0].shape[0], self._loss.n_sums),
            dtype=torch.float64,
            device=self._resident.device,
        )
        looked, size = time.monotonic(), _EVALUATION_BATCH[self._resident.device.type]
        for begin in range(0, len(part), size):
            x = self._resident.scaled(part.x[begin : begin + size])
            z = network.forward(parameters, x)
            sums += self._loss.sums(z, part.y[begin : begin + size])
            if time.monotonic() - looked > _CHUNK_S:
                poll()
                looked = time.monotonic()
        return sums.cpu().numpy()

    def _orders(self) -> tuple[Tensor, bool]:
        n_examples = len(self._resident.train)
        keys = [
            (
                lane.epoch + 1,
                lane.number if lane.spec.config.training.data_order == "per_trial" else None,
            )
            for lane in self.lanes
        ]
        known = {
            key: torch.from_numpy(epoch_order(self._seed, key[0], n_examples, key[1]))
            for key in set(keys)
        }
        is_shared = len(known) == 1
        order = known[keys[0]] if is_shared else torch.stack([known[key] for key in keys])
        return order.to(self._resident.device), is_shared

    def _batches(
        self, orders: Tensor, chunk: range, is_shared: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of the steps, several steps gathered at once if small."""
        train, size = self._resident.train, self._batch
        n_rows = 1 if is_shared else orders.shape[0]
        step_bytes = n_rows * size * train.x.shape[1] * self._resident.dtype.itemsize
        block = size * max(1, _BLOCK_BYTES // step_bytes)
        for begin in range(chunk.start * size, min(chunk.stop * size, orders.shape[-1]), block):
            end = min(begin + block, chunk.stop * size, orders.shape[-1])
            index = orders[..., begin:end]
            x = self._resident.scaled(train.x.index_select(0, index.reshape(-1)))
            y = train.y.index_select(0, index.reshape(-1))
            if not is_shared:
                x = x.view(n_rows, end - begin, -1)
                y = y.view(n_rows, end - begin, *y.shape[1:])
            for at in range(0, end - begin, size):
                if is_shared:
                    yield x[at : at + size], y[at : at + size]
                else:
                    yield x[:, at : at + size].transpose(1, 2), y[:, at : at + size]

    def _coefficients(self, chunk: range) -> "_Coefficients":
        steps = np.arange(chunk.start, chunk.stop, dtype=np.int64) + 1
        per_lane = []
        for lane in self.lanes:
            optimizer = optimizer_of(lane.spec.config)
            rate = np.full(len(steps), optimizer.learning_rate)
            per_lane.append(optimizer.coefficients(rate, lane.step + steps))
        table = {name: np.stack([lane[name] for lane in per_lane], 1) for name in per_lane[0]}
        for name in self._rule.optional:
            if not table[name].any():
                del table[name]
        return _Coefficients(table, self._resident)

    def _pace(self, n_steps: int, seconds: float) -> None:
        wanted = int(n_steps * _CHUNK_S / max(seconds, 1e-6))
        self._chunk_steps = max(1, min(wanted, 4 * self._chunk_steps, 1000))


class _Coefficients:
    """The coefficients of every step of a chunk and every lane, on the device."""

    def __init__(self, table: Mapping[str, NDArray[np.float64]], resident: Resident) -> None:
        self._names = tuple(table)
        values = np.stack(list(table.values()), 1)  # [steps, names, lanes]
        self._table = torch.from_numpy(values).to(resident.device, resident.dtype)[..., None, None]

    def at(self, offset: int) -> dict[str, Tensor]:
        return dict(zip(self._names, self._table[offset].unbind(0), strict=True))


class _Step:
    """One training step of a pack: forward, backward, penalties, clipping, update."""

    def __init__(self, pack: Pack, n_lanes: int, sums: Tensor, norms: Tensor) -> None:
        self._pack = pack
        self._sums, self._norms = sums, norms
        self._weights = pack._weights.front(n_lanes)
        self._gradients = pack._gradients.front(n_lanes)
        buffers = [stack.front(n_lanes) for stack in pack._buffers.values()]
        self._buffers = [tuple(b[i] for b in buffers) for i in range(len(self._weights))]
        optimizers = [optimizer_of(lane.spec.config) for lane in pack.lanes]
        self._l1 = self._column([one.l1 for one in optimizers])
        self._l2 = self._column([one.l2 for one in optimizers])
        self._clip = None
        if any(one.gradient_clip_norm is not None for one in optimizers):
            self._clip = self._column([one.gradient_clip_norm or math.inf for one in optimizers])
        self._smoothing = self._column(
            [lane.spec.config.training.label_smoothing for lane in pack.lanes]
        )

    def __call__(
        self, x: Tensor, y: Tensor, coefficients: Mapping[str, Tensor], *, is_sampled: bool
    ) -> None:
        pack = self._pack
        z = pack._network.forward(self._weights, x)
        d, sums = pack._loss.gradient(z, y, self._smoothing)
        self._sums += sums
        pack._network.backward(self._weights, self._gradients, d)
        self._penalise()
        if is_sampled or self._clip is not None:
            norm = self._norm()
            if is_sampled:
                self._norms += norm
            if self._clip is not None:
                self._shorten(norm)
        for weight, gradient, buffers in zip(
            self._weights, self._gradients, self._buffers, strict=True
        ):
            pack._rule.update(weight, gradient, buffers, coefficients)

    def _penalise(self) -> None:
        for weight, gradient, is_weight in zip(
            self._weights, self._gradients, self._pack._network.is_weight, strict=True
        ):
            if is_weight and self._l2 is not None:
                gradient.addcmul_(weight, self._l2)
            if is_weight and self._l1 is not None:
                gradient.addcmul_(weight.sign(), self._l1)

    def _norm(self) -> Tensor:
        """Return the norm of each lane's whole gradient, ``[lanes]``."""
        total = torch.zeros_like(self._norms, dtype=self._gradients[0].dtype)
        for gradient in self._gradients:
            total = total + torch.linalg.vector_norm(gradient.flatten(1), dim=1).square()
        return total.sqrt()

    def _shorten(self, norm: Tensor) -> None:
        assert self._clip is not None  # noqa: S101 - only called with a bound
        factor = (self._clip / (norm[:, None, None] + _CLIP_EPS)).clamp(max=1.0)
        for gradient in self._gradients:
            gradient.mul_(factor)

    def _column(self, values: list[float]) -> Tensor | None:
        if not any(values):
            return None
        resident = self._pack._resident
        return torch.tensor(values, dtype=torch.float64).to(resident.device, resident.dtype)[
            :, None, None
        ]


def _named(arrays: Mapping[str, Any], group: str) -> dict[str, Any]:
    prefix = f"{group}/"
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
