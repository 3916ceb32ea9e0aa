"""One training step of a pack: forward, backward, penalties, clipping, update."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpsearch.layers.network import Network
from hpsearch.layers.stack import Stack
from hpsearch.training.diagnosis import TINY, norms, ratios
from hpsearch.training.lane import Lane
from hpsearch.training.losses import Loss
from hpsearch.training.packing import optimizer_of
from hpsearch.training.resident import Resident
from hpsearch.training.update import Trained, Update, later_l2, update_of

_NORM_EVERY = 16  # steps between two samples of the gradient's norm: each costs a pass over it
_COMPARE_EVERY = 64  # between two looks at what a step changes: each costs seven such passes
_COMPARED_AT = 16  # the first of them: not the very first step, which a warm-up makes nothing of
_SUM_EVERY = 16  # steps whose losses are added up at once: a dozen small operations each time
_MOST_KEPT = 2**17  # outputs of a lane kept until then: of many classes, those of few steps
_CLIP_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_'s


MakeUpdate = Callable[[Sequence[Lane], int, Resident, Trained], Update]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a step does beside training; steps of one kind are the same operations.

    Attributes:
        is_sampled: Whether the gradient's norm is looked at.
        is_compared: Whether the weights before and after are compared.
    """

    is_sampled: bool
    is_compared: bool

    @property
    def is_plain(self) -> bool:
        """Whether nothing but training is done."""
        return not (self.is_sampled or self.is_compared)


class Step:
    """The step of a pack during one epoch, and what it adds up on the device.

    Args:
        lanes: The lanes of the pack, in the order of its rows.
        network: The pack's program.
        loss: What is minimised.
        weights: Changed in place.
        gradients: Room for gradients.
        buffers: The update rule's running values, in its order.
        n_steps: Steps of an epoch.
        resident: Says device and dtype.
        make_update: Makes what changes the weights.

    Attributes:
        sums: The loss's sums, ``[lanes, n_sums]``, float64.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        network: Network,
        loss: Loss,
        *,
        weights: Stack,
        gradients: Stack,
        buffers: Sequence[Stack],
        n_steps: int,
        resident: Resident,
        make_update: MakeUpdate = update_of,
    ) -> None:
        n_lanes = len(lanes)
        self._network, self._loss, self._resident = network, loss, resident
        self._weights, self._gradients = weights.front(n_lanes), gradients.front(n_lanes)
        self._trained = self._weights[: len(network.is_weight)]
        trained = Trained(
            self._trained,
            self._gradients,
            [buffer.front(n_lanes) for buffer in buffers],
            network.is_weight,
        )
        self._update = make_update(lanes, n_steps, resident, trained)
        optimizers = [optimizer_of(lane.spec.config) for lane in lanes]
        self._l1 = self._column([one.l1 for one in optimizers])
        l2 = [one.l2 for one in optimizers]
        bounds = [one.gradient_clip_norm for one in optimizers]
        self._clip = None
        if any(bounds):
            self._clip = self._column([bound or math.inf for bound in bounds])
        # of l2 terms, what the update adds to the gradient; a lane's own affair, to the last bit
        self._left = [later_l2(one) if self._update.takes_l2 else 0.0 for one in optimizers]
        self._l2_sampled = self._column(l2)
        self._l2 = self._column([x - left for x, left in zip(l2, self._left, strict=True)])
        self._nothing_left = [0.0] * n_lanes
        # whether nobody needs to see gradients before the weights are changed by them
        is_free = self._l1 is None and self._l2 is None and self._clip is None
        self._descends = is_free and network.takes_steps and self._update.has_rule_steps
        self._adds_up = network.takes_steps and loss.has_kernel(resident.dtype)
        smoothing = [lane.spec.config.training.label_smoothing for lane in lanes]
        self._smoothing = self._column(smoothing)
        # the same for a kernel, which reads zeros, too
        self._smoothings = torch.tensor(smoothing, dtype=torch.float64).to(resident.dtype)
        self.sums = torch.zeros(
            (n_lanes, loss.n_sums), dtype=torch.float64, device=resident.device
        )
        self._gradient_norms = torch.zeros_like(self.sums[:, 0])
        self._n_gradient_norms = 0
        self._ratios = torch.zeros_like(self.sums[:, 0])
        self._n_ratios = 0
        self._signs = torch.zeros((n_lanes, 3), dtype=torch.float64, device=resident.device)
        self._compared_at = min(_COMPARED_AT, n_steps - 1)
        self._n_steps = n_steps
        self._first = 0
        self._seen: list[Tensor] = []  # not yet in the sums
        self._targets: list[Tensor] = []
        self._n_kept = 0

    def prepare(self, steps: range) -> None:
        """Get ready for the coming steps; they are numbers within the epoch, from 0."""
        self._first = steps.start
        self._update.prepare(steps)

    @property
    def gradient_norm(self) -> Tensor:
        """Mean of the sampled norms of each lane's gradient, ``[lanes]``, float64."""
        return self._gradient_norms / self._n_gradient_norms

    @property
    def update_ratio(self) -> Tensor:
        """Mean of the sampled ratios of a step to the weights it changed, ``[lanes]``, float64."""
        return self._ratios / max(1, self._n_ratios)

    def aims(self, y: Tensor) -> Tensor:
        """Return what steps read of the targets of batches of one size, an entry a batch."""
        if self._adds_up:
            return y
        n_outputs = self._resident.splits.n_outputs
        like = self._trained[0][:, :1, :1].expand(-1, n_outputs, 1)
        return self._loss.aims(y, like, self._smoothing)

    def __call__(self, x: Tensor, y: Tensor, aim: Tensor, offset: int, keys: Tensor) -> None:
        """Take the step.

        Args:
            x: Inputs of a batch, as :meth:`Network.forward` takes them.
            y: Targets of it, ``[1, batch, ...]`` if the lanes share it, else a row for each.
            aim: What :meth:`aims` made of them.
            offset: Of the step among those prepared.
            keys: Of the network's random numbers, ``[lanes, draws, 2]``.
        """
        number = self._first + offset
        kind = self.kind(number)
        self.count(kind)
        z = self._network.forward(self._weights, x, keys)
        if self._adds_up:
            self._change(self._loss.add_gradient(z, y, self._smoothings, self.sums), offset, kind)
            return
        d, seen = self._loss.slope(z, aim)
        self._change(d, offset, kind)
        self._seen.append(seen)
        self._targets.append(y)
        self._n_kept += seen.shape[1] * seen.shape[2]
        # by what came before in the epoch, of one lane: sums must not depend on when somebody
        # looked, nor on the company
        is_due = number % _SUM_EVERY == _SUM_EVERY - 1 or self._n_kept >= _MOST_KEPT
        if is_due or number == self._n_steps - 1:
            y = torch.cat(self._targets, self._loss.batch_axis)
            self.sums += self._loss.tally(torch.cat(self._seen, 2), y)
            self._seen, self._targets, self._n_kept = [], [], 0

    def kind(self, number: int) -> Kind:
        """Return what a step of the epoch does; it is counted from 0."""
        return Kind(
            is_sampled=number % _NORM_EVERY == 0,
            is_compared=number % _COMPARE_EVERY == self._compared_at,
        )

    def count(self, kind: Kind) -> None:
        """Note that a step of this kind is taken."""
        self._n_gradient_norms += kind.is_sampled
        self._n_ratios += kind.is_compared

    def take(self, x: Tensor, y: Tensor, offset: int, keys: Tensor, kind: Kind) -> None:
        """Do all of a step on the device, and add its losses up at once; do not count it."""
        z = self._network.forward(self._weights, x, keys)
        d, sums = self._loss.gradient(z, y, self._smoothing)
        self.sums += sums
        self._change(d, offset, kind)

    def _change(self, d: Tensor, offset: int, kind: Kind) -> None:
        """Change the weights, given the gradient of the outputs."""
        signs = None if kind.is_plain else self._signs
        if self._descends:
            step = self._update.rule_step(offset, signs)
            others = self._network.descend(self._weights, self._gradients, d, step)
            rest = [gradient for gradient in others if gradient is not None]
            if signs is not None and rest:
                signs[:, 0] += norms(rest).square()
            self._update.take_rest(offset, others)
            if signs is not None:
                self.look(kind)
            return
        gradients = self._network.backward(self._weights, self._gradients, d)
        self._penalise(gradients, self._l2_sampled if kind.is_sampled else self._l2)
        if kind.is_sampled or self._clip is not None:
            norm = norms(gradients)
            if kind.is_sampled:
                self._gradient_norms += norm
            if self._clip is not None:
                factor = (self._clip / (norm[:, None, None] + _CLIP_EPS)).clamp(max=1.0)
                for gradient in gradients:
                    gradient.mul_(factor)
        left = self._nothing_left if kind.is_sampled else self._left
        if not kind.is_compared:
            self._update(offset, gradients, left)
            return
        before = [weight.clone() for weight in self._matrices()]
        self._update(offset, gradients, left)
        self._ratios += ratios(before, self._matrices())

    def look(self, kind: Kind) -> None:
        """Take in what a network that changed its weights itself has added up of a step."""
        gradient, before, change = self._signs.unbind(1)
        if kind.is_sampled:
            self._gradient_norms += gradient.sqrt()
        if kind.is_compared:
            self._ratios += change.sqrt() / before.sqrt().clamp_min(TINY)
        self._signs.zero_()

    @property
    def update(self) -> Update:
        """What changes the weights."""
        return self._update

    def columns(self) -> tuple[Tensor | None, ...]:
        """Return the coefficients of the lanes that hold for the whole epoch."""
        return self._l1, self._l2, self._l2_sampled, self._clip, self._smoothing

    def coefficients(self, offset: int) -> Tensor:
        """Return those of a step among the prepared ones, if :attr:`is_kernels`.

        ``[lanes, names]``; those of the next step follow them in memory.
        """
        return self._update.rule_step(offset).coefficients

    @property
    def is_kernels(self) -> bool:
        """Whether a step is nothing but kernels of our own, given a batch."""
        return self._adds_up and self._descends and self._network.has_kernels()

    def begin_like(self, other: "Step") -> None:
        """Begin another epoch where this step stands, with another's coefficients.

        Args:
            other: Of the same pack, with as many lanes, and with the same columns.
        """
        for mine, theirs in zip(self.columns(), other.columns(), strict=True):
            if mine is not None and theirs is not None:
                mine.copy_(theirs)
        for total in (self.sums, self._gradient_norms, self._ratios):
            total.zero_()
        self._n_gradient_norms = self._n_ratios = 0

    def _matrices(self) -> list[Tensor]:
        both = zip(self._trained, self._network.is_weight, strict=True)
        return [weight for weight, is_weight in both if is_weight]

    def _penalise(self, gradients: Sequence[Tensor], l2: Tensor | None) -> None:
        for weight, gradient, is_weight in zip(
            self._trained, gradients, self._network.is_weight, strict=True
        ):
            if is_weight and l2 is not None:
                gradient.addcmul_(weight, l2)
            if is_weight and self._l1 is not None:
                gradient.addcmul_(weight.sign(), self._l1)

    def _column(self, values: Sequence[float]) -> Tensor | None:
        """Return a coefficient per lane, or None where all are zero and nothing is to be done."""
        if not any(values):
            return None
        column = torch.tensor(values, dtype=torch.float64)
        return column.to(self._resident.device, self._resident.dtype)[:, None, None]
