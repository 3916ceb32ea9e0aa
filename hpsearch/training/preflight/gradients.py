"""Whether each family's hand-written gradients are the slopes of its loss, in float64."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.datasets.splits import Splits
from hpsearch.layers.stack import Stack
from hpsearch.models.base import Model
from hpsearch.spec.findings import Finding, Severity
from hpsearch.training.losses import Loss, loss_of
from hpsearch.training.packing import model_of
from hpsearch.training.preflight.clock import Clock
from hpsearch.training.preflight.few import few_examples
from hpsearch.training.preflight.points import Point
from hpsearch.training.preflight.work import work_of
from hpsearch.training.resident import Resident
from hpsearch.training.seeds import initial_generator

BATCH = 6  # examples
MAX_PROGRAMS = 6  # networks of different kinds that are tried
MAX_PARAMETERS = 1_000_000  # of such a network
MAX_WORK = 4e9  # multiplications: two seconds, as so few examples wait for memory most of the time
TOLERANCE = 1e-4  # relative; rounding and curvature stay under 1e-6, a wrong gradient is off by 1
_FIRST_ANSWERS = 3  # the gradient, in units of an answer; every slope takes two answers
_STEP = 1e-6  # length of the step along a direction, all weights together
_BIAS = 0.1  # biases are moved from zero, where an activation may have a kink


@dataclass(frozen=True, slots=True)
class _Slope:
    """How far the gradient of one parameter is from the slope of the loss along it."""

    parameter: str
    error: float


def check_gradients(splits: Splits, points: Sequence[Point], seed: int, clock: Clock) -> Finding:
    """Compare gradients with finite differences, once for each kind of network in the space."""
    expected = f"at most {TOLERANCE:g}, relative"
    models = _kinds(splits, points)
    if not models:
        message = "every network looked at is too large to compare gradients in time"
        return Finding("gradients", Severity.SKIPPED, message, None, expected)
    few = few_examples(splits, BATCH, seed)
    resident = Resident(few, device=torch.device("cpu"), dtype=torch.float64)
    x, y = resident.scaled(resident.train.x), resident.train.y
    loss = loss_of(splits)
    worst: tuple[Model, _Slope] | None = None
    n_compared = 0
    for number, model in enumerate(models):
        if clock.is_over() and n_compared:
            break
        slope = _worst_slope(model, splits, loss, x, y, seed + number)
        n_compared += 1
        if worst is None or not slope.error <= worst[1].error:
            worst = (model, slope)
    assert worst is not None  # noqa: S101 - there is a model, and the first is always compared
    model, slope = worst
    if slope.error <= TOLERANCE:
        kinds = "kind" if n_compared == 1 else "kinds"
        message = f"gradients are the slopes of the loss ({n_compared} {kinds} of network)"
        return Finding("gradients", Severity.OK, message, slope.error, expected)
    message = (
        f"the gradient of {slope.parameter} of family {_family(model)} is off by "
        f"{slope.error:.1%}: the family's backward is wrong and its results cannot be trusted; "
        "leave it out of the space and report it"
    )
    return Finding("gradients", Severity.WARNING, message, slope.error, expected)


def _kinds(splits: Splits, points: Sequence[Point]) -> list[Model]:
    """Return the smallest network of each kind, one of every family before a second of any."""
    smallest: dict[Hashable, tuple[int, Model]] = {}
    for point in points:
        model = model_of(point.config)
        size = model.n_parameters(splits.n_inputs, splits.n_outputs)
        n_answers = 2 * len(model.shapes(splits.n_inputs, splits.n_outputs)) + _FIRST_ANSWERS
        is_quick = n_answers * BATCH * work_of(model, splits) <= MAX_WORK
        known = smallest.get(model.program())
        if is_quick and size <= MAX_PARAMETERS and (known is None or size < known[0]):
            smallest[model.program()] = (size, model)
    seen: dict[str, int] = {}
    ranked = []
    for size, model in sorted(smallest.values(), key=lambda item: item[0]):
        rank = seen[_family(model)] = seen.get(_family(model), -1) + 1
        ranked.append((rank, size, model))
    ranked.sort(key=lambda item: item[:2])
    return [model for _, _, model in ranked[:MAX_PROGRAMS]]


def _worst_slope(
    model: Model, splits: Splits, loss: Loss, x: Tensor, y: Tensor, seed: int
) -> _Slope:
    n_in, n_out = splits.n_inputs, splits.n_outputs
    rng = initial_generator(seed, 0)
    initial = model.initial(n_in, n_out, rng)
    trained = model.shapes(n_in, n_out)
    for name in trained:
        if initial[name].ndim == 1:
            initial[name] = initial[name] + _BIAS * rng.standard_normal(initial[name].shape)
        else:
            initial[name] = _tamed(initial[name])
    shapes = {name: tuple(array.shape) for name, array in initial.items()}
    device = torch.device("cpu")
    weights = Stack(shapes, 1, dtype=torch.float64, device=device, blocks=model.blocks())
    weights.put(0, initial)
    gradients = weights.like(n_first=len(trained))
    network = model.network(shapes, n_rows=1, is_exact=False, device=device)
    network.fit(0, shapes)
    keys = torch.zeros((1, network.n_draws, 2), dtype=torch.int32)  # training, nothing dropped

    def value() -> float:
        sums = loss.gradient(network.forward(weights.tensors, x, keys), y, None)[1]
        return loss.metrics(sums[0].numpy(), len(x), "train")["train_loss"]

    d, _ = loss.gradient(network.forward(weights.tensors, x, keys), y, None)
    found = network.backward(weights.tensors, gradients.tensors, d)
    slopes = [
        _Slope(name, _error(value, weight, gradient, rng))
        for name, weight, gradient in zip(trained, weights.tensors, found, strict=False)
    ]
    return max(slopes, key=lambda slope: np.nan_to_num(slope.error, nan=np.inf))


def _tamed(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return first weights no larger than signals need to pass without growing.

    A recurrent network of large weights is chaos: no slope is that of its loss over any step a
    computer can take, and the backward pass is not to blame.
    """
    deviation = float(weight.std())
    most = math.sqrt(1 / weight.shape[1])
    return weight * (most / deviation) if deviation > most else weight


def _error(
    value: Callable[[], float], weight: Tensor, gradient: Tensor, rng: np.random.Generator
) -> float:
    """Return how much the slope along a direction differs from what the gradient says.

    The direction is half the gradient's own and half chance, so that neither a wrong length nor
    a forgotten part goes unseen.
    """
    norm = float(gradient.norm())
    chance = torch.from_numpy(rng.standard_normal(tuple(weight.shape)))
    direction = chance / chance.norm()
    if norm > 0:
        direction = direction + gradient / norm
        direction = direction / direction.norm()
    before = weight.clone()
    weight.copy_(before + _STEP * direction)
    above = value()
    weight.copy_(before - _STEP * direction)
    below = value()
    weight.copy_(before)
    slope = (above - below) / (2 * _STEP)
    told = float((gradient * direction).sum())
    rounding = 1e-15 * abs(above) / _STEP  # what the difference of two losses cannot tell
    scale = max(abs(slope), norm)
    return max(0.0, abs(slope - told) - 10 * rounding) / scale if scale > rounding else 0.0


def _family(model: Model) -> str:
    return str(getattr(model, "family", type(model).__name__.lower()))
