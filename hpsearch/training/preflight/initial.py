"""What untrained networks of the space answer: their loss, their penalty, their units."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.datasets.splits import Splits
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.findings import Finding, Severity
from hpsearch.spec.sections import Task
from hpsearch.training.losses import loss_of
from hpsearch.training.packing import model_of, optimizer_of
from hpsearch.training.preflight.clock import Clock
from hpsearch.training.preflight.few import few_examples
from hpsearch.training.preflight.points import Point, field_of
from hpsearch.training.preflight.work import MAX_WORK, work_of
from hpsearch.training.resident import Resident
from hpsearch.training.seeds import initial_generator

BATCH = 256  # examples looked at
FEWEST = 16  # by a network that takes long for each; below, a deviation says little
MAX_PARAMETERS = 5_000_000  # larger networks take too long to draw
EXCESS_LOSS = 2.5  # nats above log C; he starts at about 1 above, whatever C
EXCESS_VARIANCE = 5.0  # times the targets' variance; he starts at about 3
HEAVY_PENALTY = 10.0  # times the loss of guessing
MOSTLY = 0.5  # of the points, of a layer's units
SATURATED = 0.99  # of what tanh can reach; sigmoid from 0 to 1 likewise
FAINT, LOUD = 1e-3, 1e3  # deviation of a layer's outputs over that of the inputs
_LARGE_INPUT = 10.0  # root mean square of the inputs

_SQUASHING: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.Tanh: lambda h: h.abs() > SATURATED,
    nn.Sigmoid: lambda h: (2 * h - 1).abs() > SATURATED,
}
_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid)


@dataclass(frozen=True, slots=True)
class Layer:
    """What the outputs of one hidden layer look like at the start.

    Attributes:
        name: ``hidden layer 2 (relu, 128 units)``.
        deviation: Of a unit's output over examples, mean over units.
        dead: Fraction of units that answer every example the same.
        saturated: Fraction of outputs at the flat ends of tanh or sigmoid.
    """

    name: str
    deviation: float
    dead: float
    saturated: float


@dataclass(frozen=True, slots=True)
class Start:
    """One network before training.

    Attributes:
        point: Where it stands in the space.
        loss: Its loss on a batch.
        penalty: What l1 and l2 add to it.
        layers: Its hidden layers in order.
        largest_input: Width of the widest input of a layer.
    """

    point: Point
    loss: float
    penalty: float
    layers: tuple[Layer, ...]
    largest_input: int


@dataclass(frozen=True, slots=True)
class Starts:
    """Networks of the space before training.

    Attributes:
        all: The networks looked at.
        splits: The examples.
        guess: Loss of guessing: log C, or the targets' variance, 1.
        input_size: Root mean square of the inputs.
        input_deviation: Deviation of an input feature over examples, mean over features.
    """

    all: tuple[Start, ...]
    splits: Splits
    guess: float
    input_size: float
    input_deviation: float


def start_networks(splits: Splits, points: Sequence[Point], seed: int, clock: Clock) -> Starts:
    """Return the first answers of the network of each point, as many as there is time for."""
    few = few_examples(splits, BATCH, seed)
    resident = Resident(few, device=torch.device("cpu"), dtype=torch.float32)
    x, y = resident.scaled(resident.train.x), resident.train.y
    is_classes = splits.task is Task.CLASSIFICATION
    starts = []
    for number, point in enumerate(points):
        n_parameters = model_of(point.config).n_parameters(splits.n_inputs, splits.n_outputs)
        if clock.is_over():
            break
        n_examples = int(MAX_WORK / work_of(model_of(point.config), splits))
        if n_parameters <= MAX_PARAMETERS and n_examples >= FEWEST:
            looked_at = x[:n_examples], y[:n_examples]
            starts.append(_start(splits, point, *looked_at, seed, number))
    return Starts(
        tuple(starts),
        splits,
        math.log(splits.n_outputs) if is_classes else 1.0,
        float(x.double().square().mean().sqrt()),
        float(x.double().std(0, correction=0).mean()),
    )


def check_loss(starts: Starts) -> Finding:
    """Return whether untrained networks are as good as guessing, and not far worse."""
    is_classes = starts.splits.task is Task.CLASSIFICATION
    guess = starts.guess
    limit = guess + EXCESS_LOSS if is_classes else guess * EXCESS_VARIANCE
    name = f"log({starts.splits.n_outputs}) = {guess:.2f}" if is_classes else "the variance, 1"
    expected = f"about {name}; at most {limit:.1f}"
    bad = [start for start in starts.all if not start.loss <= limit]
    if not _are_most(bad, starts.all):
        typical = _typical([start for start in starts.all if start not in bad])
        but = f"; above {limit:.1f} at {len(bad)} of {_points(starts.all)}" if bad else ""
        message = (
            f"untrained networks start at a loss of {typical:.3g}, about that of guessing{but}"
        )
        return Finding("initial_loss", Severity.OK, message, typical, expected)
    worst = max(bad, key=lambda start: start.loss if math.isfinite(start.loss) else math.inf)
    if len(bad) == len(starts.all) and not any(map(math.isfinite, _losses(bad))):
        message = (
            "the loss is not finite before the first step at any point looked at: "
            f"{_calmer(worst, starts)}"
        )
        return Finding("initial_loss", Severity.WARNING, message, None, expected)
    message = (
        f"untrained networks start at a loss of {_typical(bad):,.3g} instead of {name} "
        f"({len(bad)} of {_points(starts.all)} looked at): {_calmer(worst, starts)}"
    )
    return Finding("initial_loss", Severity.WARNING, message, _typical(bad), expected)


def check_penalty(starts: Starts) -> Finding | None:
    """Return whether l1 and l2 leave room for the data; None if the space has neither."""
    penalised = [start for start in starts.all if _has_penalty(start.point.config)]
    if not penalised:
        return None
    ratios = [start.penalty / starts.guess for start in penalised]
    typical = _median(ratios)
    expected = f"above 0, at most {HEAVY_PENALTY:g} times the loss of guessing"
    useless = [start for start in penalised if not start.penalty > 0]
    if useless:
        message = (
            "l1 or l2 is set, but the regularised loss is not above the plain one "
            f"({_where(useless[0].point)}): the weights are all zero, or the model family does "
            "not name them"
        )
        return Finding("penalty", Severity.WARNING, message, useless[0].penalty, expected)
    heavy = [start for start in penalised if start.penalty > HEAVY_PENALTY * starts.guess]
    if not _are_most(heavy, penalised):
        message = f"l1 and l2 add {typical:.2g} times the loss of guessing to the loss"
        return Finding("penalty", Severity.OK, message, typical, expected)
    heaviest = max(heavy, key=lambda start: start.penalty)
    optimizer = optimizer_of(heaviest.point.config)
    names = [name for name in ("l1", "l2") if getattr(optimizer, name)]
    searched = {field_of(name) for name in heaviest.point.params}
    end = "the upper end of " if searched.issuperset(names) else ""
    message = (
        f"l1 and l2 outweigh the data: they add {typical:,.3g} times the loss of guessing "
        f"({len(heavy)} of {_points(penalised)} looked at), so training shrinks the weights "
        f"before it fits anything: lower {end}{_and_optimizer(names)}, "
        f"or start with smaller weights (model.init)"
    )
    return Finding("penalty", Severity.WARNING, message, typical, expected)


def check_layers(starts: Starts) -> Finding:
    """Return whether signals pass through the hidden layers, and which layer stops them."""
    seen = [start for start in starts.all if start.layers]
    if not seen:
        message = "no hidden layer with a known activation to look at"
        return Finding("activations", Severity.SKIPPED, message)
    expected = f"under {MOSTLY:.0%} of a layer dead or saturated"
    sick = [(start, fault) for start in seen if (fault := _fault(start, starts)) is not None]
    if not _are_most([start for start, _ in sick], seen):
        worst = max(max(layer.dead, layer.saturated) for start in seen for layer in start.layers)
        message = f"the units of every layer respond to the examples ({_points(seen)} looked at)"
        return Finding("activations", Severity.OK, message, worst, expected)
    start, (measured, what) = max(sick, key=lambda found: found[1][0])
    message = (
        f"{what} ({len(sick)} of {_points(seen)} looked at; here {_where(start.point)}): "
        f"{_livelier(start, starts)}"
    )
    return Finding("activations", Severity.WARNING, message, measured, expected)


def _start(splits: Splits, point: Point, x: Tensor, y: Tensor, seed: int, number: int) -> Start:
    model = model_of(point.config)
    rng = initial_generator(seed, number)
    weights = {
        name: torch.from_numpy(array).float()
        for name, array in model.initial(splits.n_inputs, splits.n_outputs, rng).items()
    }
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = model.plain(splits.n_inputs, splits.n_outputs)
        network.load_state_dict(weights, strict=False)  # buffers keep their first values
        for module in network.modules():
            module.train(not isinstance(module, nn.Dropout))
        layers: list[Layer] = []
        hooks = [
            module.register_forward_hook(_observer(layers))
            for module in network.modules()
            if isinstance(module, (*_ACTIVATIONS, nn.RNNBase))
        ]
        z = network(x)
        for hook in hooks:
            hook.remove()
        loss = loss_of(splits)
        sums = loss.sums(z.t().unsqueeze(0).contiguous(), y)[0].numpy()
    optimizer = optimizer_of(point.config)
    matrices = [weight.double() for weight in weights.values() if weight.dim() > 1]
    penalty = sum(
        optimizer.l1 * float(w.abs().sum()) + optimizer.l2 / 2 * float(w.square().sum())
        for w in matrices
    )
    return Start(
        point,
        loss.metrics(sums, len(x), "train")["train_loss"],
        penalty,
        tuple(layers),
        max((int(weight.shape[1]) for weight in matrices), default=1),
    )


def _observer(layers: list[Layer]) -> Callable[[nn.Module, object, object], None]:
    def observe(module: nn.Module, _: object, out: object) -> None:
        h = out[0] if isinstance(out, tuple) else out
        assert isinstance(h, Tensor)  # noqa: S101 - what these modules return
        flat = h.reshape(-1, h.shape[-1]).double()  # every step of a sequence is an example
        deviation = flat.std(0, correction=0)
        is_flat = _SQUASHING.get(type(module))
        if isinstance(module, nn.RNNBase):  # tanh is what GRU and LSTM put out
            is_flat = None if module.mode == "RNN_RELU" else _SQUASHING[nn.Tanh]
        kind = type(module).__name__.lower().replace("leakyrelu", "leaky_relu")
        layers.append(
            Layer(
                f"hidden layer {len(layers) + 1} ({kind}, {h.shape[-1]} units)",
                float(deviation.mean()),
                float((deviation <= 1e-9 * (1 + flat.mean(0).abs())).double().mean()),
                0.0 if is_flat is None else float(is_flat(flat).double().mean()),
            )
        )

    return observe


def _fault(start: Start, starts: Starts) -> tuple[float, str] | None:
    """Return the first layer that stops the signal: how much, and how."""
    for layer in start.layers:
        if layer.saturated > MOSTLY:
            return layer.saturated, f"{layer.saturated:.0%} of {layer.name} is saturated"
        if layer.dead > MOSTLY:
            return layer.dead, f"{layer.dead:.0%} of the units of {layer.name} are dead"
        gain = layer.deviation / (starts.input_deviation or 1.0)
        if not FAINT <= gain <= LOUD:
            how = "faint" if gain < FAINT else "loud"
            return 1.0, f"the signal of {layer.name} is {gain:.1g} times the inputs': too {how}"
    return None


def _calmer(start: Start, starts: Starts) -> str:
    """Return what to change so that the first outputs are smaller."""
    model = model_of(start.point.config)
    init, scale = getattr(model, "init", None), getattr(model, "init_scale", None)
    if starts.input_size > _LARGE_INPUT:
        return (
            f"the inputs are large (root mean square {starts.input_size:.3g}): set "
            "dataset.normalize: standard"
        )
    if init in {"normal", "uniform"}:
        better = math.sqrt((2 if init == "normal" else 6) / start.largest_input)
        return (
            f"model.init_scale {scale:g} is too large for {start.largest_input:,} inputs; use "
            f"about {better:.2g}, or model.init: he"
        )
    return "use model.init: xavier, batch_norm, or fewer layers; check the data for outliers"


def _livelier(start: Start, starts: Starts) -> str:
    """Return what to change so that units respond."""
    model = model_of(start.point.config)
    init, activation = getattr(model, "init", None), getattr(model, "activation", None)
    if starts.input_size > _LARGE_INPUT:
        return _calmer(start, starts)
    if init in {"normal", "uniform"}:
        better = math.sqrt((2 if init == "normal" else 6) / start.largest_input)
        return f"use model.init_scale of about {better:.2g}, or model.init: xavier"
    if activation in {"sigmoid", "tanh"}:
        return "use model.activation: relu with model.init: he, or fewer layers"
    return "use model.init: he, wider or fewer layers, or model.activation: leaky_relu"


def _where(point: Point) -> str:
    model = {
        name.removeprefix("model."): value
        for name, value in point.params.items()
        if name.startswith("model")
    }
    if not model:
        return "the one network of this study"
    return ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in model.items()
    )


def _and_optimizer(names: list[str]) -> str:
    return " and ".join(f"optimizer.{name}" for name in names)


def _has_penalty(config: TrialConfig) -> bool:
    optimizer = optimizer_of(config)
    return optimizer.l1 > 0 or optimizer.l2 > 0


def _points(starts: Sequence[Start]) -> str:
    return f"{len(starts)} point{'' if len(starts) == 1 else 's'}"


def _are_most(bad: Sequence[Start], looked_at: Sequence[Start]) -> bool:
    """Whether a fault is the rule: in the middle of the ranges, or at half of the points."""
    at_half = len(bad) >= MOSTLY * len(looked_at)
    return any(start.point.is_middle for start in bad) or at_half


def _losses(starts: Sequence[Start]) -> Iterator[float]:
    return (start.loss for start in starts)


def _typical(starts: Sequence[Start]) -> float:
    return _median([loss for loss in _losses(starts) if math.isfinite(loss)])


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else math.nan
