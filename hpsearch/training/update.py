"""The update of a pack's weights: all lanes at once, or lane after lane in one pass each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.layers.affine import RuleStep
from hpsearch.layers.native_kernels import kernel_of
from hpsearch.native.library import launch
from hpsearch.native.processor import processor
from hpsearch.native.rules import RULES
from hpsearch.optimizers.base import REGISTRY, Optimizer
from hpsearch.training.lane import Lane
from hpsearch.training.packing import optimizer_of
from hpsearch.training.resident import Resident

Rows = Sequence[Tensor]
"""One tensor per parameter, ``[lanes, ...]`` each."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What an update reads and writes.

    Attributes:
        weights: The trained parameters.
        gradients: Where theirs mostly stand.
        buffers: The rule's running values, in its order.
        is_weight: Which parameters the l2 term applies to.
    """

    weights: Rows
    gradients: Rows
    buffers: Sequence[Rows]
    is_weight: Sequence[bool]


class Update(ABC):
    """Takes the optimizer's step for every lane of a pack.

    Args:
        lanes: The lanes of the pack, in the order of its rows.
        n_steps: Steps of an epoch.
        resident: Says device and dtype.
    """

    takes_l2: bool = False
    """Whether it adds the gradient of the l2 terms, where the step leaves that to it."""

    def __init__(self, lanes: Sequence[Lane], n_steps: int, resident: Resident) -> None:
        self._lanes, self._n_steps, self._resident = lanes, n_steps, resident

    @abstractmethod
    def prepare(self, steps: range) -> None:
        """Work out what the coming steps need; they are numbers within the epoch, from 0."""

    @abstractmethod
    def __call__(self, offset: int, gradients: Rows, l2: Sequence[float]) -> None:
        """Take one step.

        Args:
            offset: Of the step among those prepared.
            gradients: Of the trained parameters; may be overwritten.
            l2: What is left to add to the gradients, per lane; only if ``takes_l2``.
        """

    has_rule_steps: bool = False
    """Whether there are :meth:`rule_step` and :meth:`take_rest`."""

    def rule_step(self, offset: int, signs: Tensor | None = None) -> RuleStep:
        """Return the step as a network can take it by itself, l2 terms included.

        Args:
            offset: Of the step among those prepared.
            signs: Where to add up what it is like, as in :class:`RuleStep`; None: nowhere.
        """
        raise NotImplementedError

    def take_rest(self, offset: int, gradients: Sequence[Tensor | None]) -> None:
        """Take the step for the parameters that the network left to others.

        Args:
            offset: Of the step among those prepared.
            gradients: Of the trained parameters; None for those that are changed already.
        """
        raise NotImplementedError


class Together(Update):
    """Every operation of the rule once, for all lanes: few kernels, many passes over memory."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        n_steps: int,
        resident: Resident,
        trained: Trained,
    ) -> None:
        super().__init__(lanes, n_steps, resident)
        self._update = optimizer_of(lanes[0].spec.config).update
        self._rows = [
            (weight, tuple(buffer[i] for buffer in trained.buffers))
            for i, weight in enumerate(trained.weights)
        ]
        self._names: tuple[str, ...] = ()
        self._table = torch.empty(0)

    def prepare(self, steps: range) -> None:
        """Make the table of coefficients: in float64, cast last, each lane's own steps."""
        table = coefficients(self._lanes, steps, self._n_steps)
        for name in optimizer_of(self._lanes[0].spec.config).optional:
            if not table[name].any():
                del table[name]
        self._names = tuple(table)
        values = torch.from_numpy(np.stack(list(table.values()), 1))  # [steps, names, lanes]
        self._table = values.to(self._resident.device, self._resident.dtype)[..., None, None]

    def __call__(self, offset: int, gradients: Rows, l2: Sequence[float]) -> None:  # noqa: ARG002 - l2 is not taken
        """Apply the rule to each parameter of all lanes."""
        c: Mapping[str, Tensor] = dict(
            zip(self._names, self._table[offset].unbind(0), strict=True)
        )
        for (weight, buffers), gradient in zip(self._rows, gradients, strict=True):
            self._update(weight, gradient, buffers, c)


class LaneByLane(Update):
    """One pass over the memory of each lane, by torch's own kernels: what pays on a CPU.

    A lane's numbers do not depend on its row, nor on the other lanes.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        n_steps: int,
        resident: Resident,
        trained: Trained,
    ) -> None:
        super().__init__(lanes, n_steps, resident)
        self.takes_l2 = optimizer_of(lanes[0].spec.config).takes_l2
        rows = (trained.weights, *trained.buffers)
        by_lane = [[tensor.unbind(0) for tensor in one] for one in rows]
        every = range(len(trained.is_weight))
        decayed = [i for i in every if trained.is_weight[i]]
        others = [i for i in every if not trained.is_weight[i]]
        self._all, self._decayed, self._others = (
            [_Part(by_lane, k, which) for k in range(len(lanes))]
            for which in (every, decayed, others)
        )
        self._usual = trained.gradients
        self._usual_by_lane = [tensor.unbind(0) for tensor in trained.gradients]
        self._optimizers = [optimizer_of(lane.spec.config) for lane in lanes]
        self._steps = torch.zeros(len(lanes), dtype=torch.float32)  # what the kernels read
        self._step_of = self._steps.unbind(0)
        self._rates: list[list[float]] = []

    def prepare(self, steps: range) -> None:
        """Work out the learning rates, and set every lane's count of steps."""
        self._rates = [
            rates_at(lane, lane_steps(lane, steps), self._n_steps).tolist() for lane in self._lanes
        ]
        first = [lane.step + steps.start for lane in self._lanes]
        self._steps.copy_(torch.tensor(first, dtype=torch.float64))

    def __call__(self, offset: int, gradients: Rows, l2: Sequence[float]) -> None:
        """Call the kernel for each lane; twice where a penalty is for weights alone."""
        self._steps.add_(1)
        by_lane = [
            views if gradient is usual else gradient.unbind(0)
            for gradient, usual, views in zip(
                gradients, self._usual, self._usual_by_lane, strict=True
            )
        ]
        for k, optimizer in enumerate(self._optimizers):
            parts = (
                ((self._decayed[k], l2[k]), (self._others[k], 0.0))
                if l2[k]
                else ((self._all[k], 0.0),)
            )
            for part, decay in parts:
                optimizer.update_lane(
                    part.weights,
                    [by_lane[i][k] for i in part.which],
                    part.buffers,
                    learning_rate=self._rates[k][offset],
                    step=self._step_of[k],
                    l2=decay,
                )


class Native(Update):
    """One pass over the memory of all lanes, by the kernel made for this processor.

    A network that can takes the same step where it works the gradients out.
    """

    takes_l2 = True
    has_rule_steps = True

    def __init__(
        self, lanes: Sequence[Lane], n_steps: int, resident: Resident, trained: Trained
    ) -> None:
        super().__init__(lanes, n_steps, resident)
        rule = native_rule(type(optimizer_of(lanes[0].spec.config)))
        found = processor()
        assert rule is not None and found is not None  # noqa: S101, PT018 - what update_of asked
        self._rule, self._trained = rule, trained
        self._names = RULES[rule].coefficients
        self._l2 = [later_l2(optimizer_of(lane.spec.config)) for lane in lanes]
        self._table = torch.empty(0)
        self._kernel = kernel_of(found, "update", resident.dtype, variant=rule)

    def prepare(self, steps: range) -> None:
        """Make the table of coefficients: in float64, cast last, each lane's own steps."""
        table = coefficients(self._lanes, steps, self._n_steps)
        values = np.stack(
            [*(table[name] for name in self._names), np.tile(self._l2, (len(steps), 1))], 2
        )
        self._table = torch.from_numpy(values).to(self._resident.dtype)  # [steps, lanes, names]

    def __call__(self, offset: int, gradients: Rows, l2: Sequence[float]) -> None:
        """Call the kernel for each parameter."""
        self._take(offset, gradients, adds_l2=any(l2))

    def rule_step(self, offset: int, signs: Tensor | None = None) -> RuleStep:
        """Return rule, coefficients and running values."""
        return RuleStep(self._rule, self._table[offset], self._trained.buffers, signs)

    def take_rest(self, offset: int, gradients: Sequence[Tensor | None]) -> None:
        """Call the kernel for each parameter that has a gradient."""
        self._take(offset, gradients, adds_l2=True)

    def _take(self, offset: int, gradients: Sequence[Tensor | None], *, adds_l2: bool) -> None:
        n_lanes, row = len(self._lanes), self._table[offset]
        for i, gradient in enumerate(gradients):
            if gradient is None:
                continue
            weight, dense = self._trained.weights[i], gradient.contiguous()
            first, second = (*(buffer[i].data_ptr() for buffer in self._trained.buffers), 0, 0)[:2]
            arguments = (
                n_lanes,
                weight.numel() // n_lanes,
                weight.data_ptr(),
                dense.data_ptr(),
                row.data_ptr(),
                adds_l2 and self._trained.is_weight[i],
                first,
                second,
            )
            launch(self._kernel, arguments, (weight, dense, row, self._trained))


def native_rule(rule: type[Optimizer]) -> str | None:
    """Return the name of our own kernel of a rule, of exactly this class; None: there is none."""
    name = rule.model_fields["name"].default
    return name if name in RULES and REGISTRY.get(name) is rule else None


def coefficients(
    lanes: Sequence[Lane], steps: range, n_steps: int
) -> dict[str, NDArray[np.float64]]:
    """Return the rule's coefficients ``[steps, lanes]``, each lane's own steps.

    Args:
        lanes: Of one pack.
        steps: Numbers within the coming epoch, from 0.
        n_steps: Steps of an epoch.
    """
    per_lane = []
    for lane in lanes:
        numbers = lane_steps(lane, steps)
        rates = rates_at(lane, numbers, n_steps)
        per_lane.append(optimizer_of(lane.spec.config).coefficients(rates, numbers))
    return {name: np.stack([one[name] for one in per_lane], 1) for name in per_lane[0]}


def later_l2(optimizer: Optimizer) -> float:
    """Return the l2 term whose gradient may be added by the update: clipping needs it before."""
    return 0.0 if optimizer.gradient_clip_norm else optimizer.l2


def update_of(lanes: Sequence[Lane], n_steps: int, resident: Resident, trained: Trained) -> Update:
    """Return the update for these lanes: our own kernel, torch's lane by lane, or the plain rule.

    Which follows from processor, rule and a lane's size alone, so that the company changes no bit
    of its results.
    """
    rule = type(optimizer_of(lanes[0].spec.config))
    if resident.device.type == "cpu" and processor() is not None and native_rule(rule) is not None:
        return Native(lanes, n_steps, resident, trained)
    n_weights = sum(weight[0].numel() for weight in trained.weights)
    pays = n_weights >= rule.pays_from and resident.device.type == "cpu"
    kind = LaneByLane if pays and has_kernel(rule) else Together
    return kind(lanes, n_steps, resident, trained)


def has_kernel(rule: type[Optimizer]) -> bool:
    """Return whether this torch has the private kernel the rule would use."""
    return rule.kernel is not None and hasattr(torch, rule.kernel)


def lane_steps(lane: Lane, steps: range) -> NDArray[np.int64]:
    """Return the numbers in the trial, from 1, of steps of the coming epoch, from 0."""
    return lane.step + 1 + np.arange(steps.start, steps.stop, dtype=np.int64)


def rates_at(lane: Lane, numbers: NDArray[np.int64], n_steps: int) -> NDArray[np.float64]:
    """Return a lane's learning rates at these steps of its trial."""
    config = lane.spec.config
    return optimizer_of(config).rates(numbers, n_steps=n_steps, n_epochs=config.training.epochs)


def epoch_rate(lane: Lane, n_steps: int) -> float:
    """Return the mean learning rate of the epoch a lane has just finished."""
    numbers = lane.step - n_steps + 1 + np.arange(n_steps, dtype=np.int64)
    rates = rates_at(lane, numbers, n_steps)
    # the mean of equal numbers need not be that number
    return float(rates[0] if rates[0] == rates[-1] == rates.max() == rates.min() else rates.mean())


class _Part:
    """Some of the parameters of one lane: views made once.

    Args:
        rows: Weights, then each buffer's: the lanes of every parameter.
        lane: Its row.
        which: Of the parameters.
    """

    def __init__(
        self, rows: Sequence[Sequence[tuple[Tensor, ...]]], lane: int, which: Sequence[int]
    ) -> None:
        self.which = which
        self.weights, *self.buffers = ([one[i][lane] for i in which] for one in rows)
