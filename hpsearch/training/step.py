"""One training step of a pack: forward, backward, penalties, clipping, update."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hpsearch.layers.network import Network
from hpsearch.layers.stack import Stack
from hpsearch.training.lane import Lane
from hpsearch.training.losses import Loss
from hpsearch.training.packing import optimizer_of
from hpsearch.training.resident import Resident

_CLIP_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_'s


class Coefficients:
    """What the update rule needs at each of the coming steps, for every lane, on the device.

    Computed in float64 and cast last; each lane counts its own steps.

    Args:
        lanes: The lanes of the pack, in the order of its rows.
        steps: Numbers of the coming steps within the epoch, from 0.
        resident: Says device and dtype.
    """

    def __init__(self, lanes: Sequence[Lane], steps: range, resident: Resident) -> None:
        numbers = np.arange(steps.start, steps.stop, dtype=np.int64) + 1
        per_lane = []
        for lane in lanes:
            optimizer = optimizer_of(lane.spec.config)
            rate = np.full(len(numbers), optimizer.learning_rate)
            per_lane.append(optimizer.coefficients(rate, lane.step + numbers))
        table = {name: np.stack([one[name] for one in per_lane], 1) for name in per_lane[0]}
        for name in optimizer_of(lanes[0].spec.config).optional:
            if not table[name].any():
                del table[name]
        self._names = tuple(table)
        values = np.stack(list(table.values()), 1)  # [steps, names, lanes]
        self._table = torch.from_numpy(values).to(resident.device, resident.dtype)[..., None, None]

    def at(self, offset: int) -> dict[str, Tensor]:
        """Return the coefficients of one step, ``[lanes, 1, 1]`` each."""
        return dict(zip(self._names, self._table[offset].unbind(0), strict=True))


class Step:
    """The step of a pack during one epoch, and what it adds up on the device.

    Args:
        lanes: The lanes of the pack, in the order of its rows.
        network: The pack's program.
        loss: What is minimised.
        weights: Changed in place.
        gradients: Room for the gradients.
        buffers: The update rule's running values, in its order.
        resident: Says device and dtype.

    Attributes:
        sums: The loss's sums, ``[lanes, n_sums]``, float64.
        norms: Sum of the sampled gradient norms, ``[lanes]``, float64.
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
        resident: Resident,
    ) -> None:
        n_lanes = len(lanes)
        self._network, self._loss, self._resident = network, loss, resident
        self._weights, self._gradients = weights.front(n_lanes), gradients.front(n_lanes)
        self._trained = self._weights[: len(network.is_weight)]
        rows = [buffer.front(n_lanes) for buffer in buffers]
        self._buffers = [tuple(row[i] for row in rows) for i in range(len(self._trained))]
        optimizers = [optimizer_of(lane.spec.config) for lane in lanes]
        self._update = optimizers[0].update
        self._l1 = self._column([one.l1 for one in optimizers])
        self._l2 = self._column([one.l2 for one in optimizers])
        bounds = [one.gradient_clip_norm for one in optimizers]
        self._clip = None
        if any(bounds):
            self._clip = self._column([bound or math.inf for bound in bounds])
        self._smoothing = self._column(
            [lane.spec.config.training.label_smoothing for lane in lanes]
        )
        self.sums = torch.zeros(
            (n_lanes, loss.n_sums), dtype=torch.float64, device=resident.device
        )
        self.norms = torch.zeros(n_lanes, dtype=torch.float64, device=resident.device)

    def __call__(
        self,
        x: Tensor,
        y: Tensor,
        coefficients: Mapping[str, Tensor],
        keys: Tensor,
        *,
        is_sampled: bool,
    ) -> None:
        """Take the step.

        Args:
            x: Inputs of a batch, as :meth:`Network.forward` takes them.
            y: Targets of it.
            coefficients: Of the update rule.
            keys: Of the network's random numbers, ``[lanes, draws, 2]``.
            is_sampled: Whether the gradient's norm is noted.
        """
        z = self._network.forward(self._weights, x, keys)
        d, sums = self._loss.gradient(z, y, self._smoothing)
        self.sums += sums
        self._network.backward(self._weights, self._gradients, d)
        self._penalise()
        if is_sampled or self._clip is not None:
            norm = self._norm()
            if is_sampled:
                self.norms += norm
            if self._clip is not None:
                factor = (self._clip / (norm[:, None, None] + _CLIP_EPS)).clamp(max=1.0)
                for gradient in self._gradients:
                    gradient.mul_(factor)
        for weight, gradient, buffers in zip(
            self._trained, self._gradients, self._buffers, strict=True
        ):
            self._update(weight, gradient, buffers, coefficients)

    def _penalise(self) -> None:
        for weight, gradient, is_weight in zip(
            self._trained, self._gradients, self._network.is_weight, strict=True
        ):
            if is_weight and self._l2 is not None:
                gradient.addcmul_(weight, self._l2)
            if is_weight and self._l1 is not None:
                gradient.addcmul_(weight.sign(), self._l1)

    def _norm(self) -> Tensor:
        """Return the norm of each lane's whole gradient, ``[lanes]``."""
        total = torch.zeros_like(self.norms, dtype=self._resident.dtype)
        for gradient in self._gradients:
            total = total + torch.linalg.vector_norm(gradient.flatten(1), dim=1).square()
        return total.sqrt()

    def _column(self, values: Sequence[float]) -> Tensor | None:
        """Return a coefficient per lane, or None where all are zero and nothing is to be done."""
        if not any(values):
            return None
        column = torch.tensor(values, dtype=torch.float64)
        return column.to(self._resident.device, self._resident.dtype)[:, None, None]
