"""Whether some corner of the space can learn a few examples by heart."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from hpsearch.datasets.splits import Splits
from hpsearch.models.base import Model
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.findings import Finding, Severity
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Direction, Task, Training
from hpsearch.spec.space import Domain
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import Boundary, Goal, LaneSpec, Reply
from hpsearch.training.packing import model_of, optimizer_of
from hpsearch.training.preflight.clock import Clock
from hpsearch.training.preflight.few import few_examples
from hpsearch.training.preflight.points import (
    Point,
    field_of,
    place_of,
    point_at,
    stratified,
)
from hpsearch.training.preflight.work import MAX_WORK, work_of

SHARE = 0.05  # of the training examples
FEWEST, MOST = 32, 256  # examples, whatever the share
N_CORNERS = 6
N_MODELS = 2  # different networks among the corners ...
SLOW = 5.0  # ... none with so many times the work of the quickest
MAX_STEPS = 400
MAX_PARAMETERS = 10_000_000  # of a network; larger ones take too long to draw, and much memory
LONGEST_S = 2.0
SHARE_OF_TIME = 0.6  # of what is left of the preflight's
BY_HEART = 0.95  # accuracy on the examples trained on
LOW_ERROR = 0.1  # of the targets' variance
HARDLY = 0.1  # of the first loss: a learning rate that is far too small makes it fall less
WILD = 3.0  # times the first weights of he: beyond, they are what makes a network diverge
_STEP_ANSWERS = 3  # a step costs, forwards and backwards, in answers
_EASY_WIDTH, _EASY_DEPTH, _EASY_BATCH = 256, 2, 32

# what makes learning by heart hard is set to its low end
_LOW = frozenset({"l1", "l2", "weight_decay", "dropout", "label_smoothing"})
_EASY = {"hidden_units": _EASY_WIDTH, "hidden_layers": _EASY_DEPTH, "batch_size": _EASY_BATCH}


def check_overfit(
    space: SearchSpace, splits: Splits, *, seed: int, device: str, clock: Clock
) -> Finding:
    """Train a few easy points of the space on a few examples until one knows them by heart.

    The corners have the space's weakest regularisation, handy widths and learning rates from all
    over their range; schedules and early stopping are left out. Only the quickest networks among
    them are trained, so that a perceptron does not wait for an LSTM.
    """
    n_all = len(splits.train)
    few = few_examples(splits, min(n_all, MOST, max(FEWEST, round(SHARE * n_all))), seed)
    corners = [
        corner
        for index in range(1 if space.is_empty else N_CORNERS)
        if (corner := point_at(space, splits.input_shape, _easy(index))) is not None
    ]
    is_classes = splits.task is Task.CLASSIFICATION
    goal = BY_HEART if is_classes else LOW_ERROR
    expected = f"an accuracy of {goal:.0%}" if is_classes else f"a loss under {goal:g}"
    if not corners:
        message = "no corner of the space is a valid point"
        return Finding("overfit", Severity.SKIPPED, message, None, expected)
    quick = _with_quick_models(corners, few)
    if not quick:
        message = "every network looked at is too large to be trained in time"
        return Finding("overfit", Severity.SKIPPED, message, None, expected)
    fit = _Fit(few, quick, goal, is_classes=is_classes)
    fit.run(seed, device, Clock.within(clock, min(LONGEST_S, SHARE_OF_TIME * clock.left_s)))
    n_examples = len(few.train)
    reached = f"an accuracy of {fit.best:.1%}" if is_classes else f"a loss of {fit.best:.2g}"
    measured = fit.best if math.isfinite(fit.best) else None
    if fit.is_reached:
        epochs = f"{fit.epochs} epoch{'' if fit.epochs == 1 else 's'}"
        message = f"{n_examples} examples can be learnt by heart, in {epochs}"
        return Finding("overfit", Severity.OK, message, measured, expected)
    if measured is None and fit.is_done:
        message = f"no point tried got through its first epoch on {n_examples} examples"
        message = f"{message}: {fit.advice()}"
        return Finding("overfit", Severity.WARNING, message, None, expected)
    if measured is None:
        message = f"undecided: no epoch on {n_examples} examples was over when the time was up"
        return Finding("overfit", Severity.SKIPPED, message, None, expected)
    if not fit.is_done:
        message = (
            f"undecided: {reached} on {n_examples} examples when the time was up, after "
            f"{fit.epochs} epochs"
        )
        return Finding("overfit", Severity.SKIPPED, message, measured, expected)
    message = (
        f"no point tried learnt {n_examples} examples by heart ({reached} after {fit.epochs} "
        f"epochs): {fit.advice()}"
    )
    return Finding("overfit", Severity.WARNING, message, measured, expected)


class _Fit:
    """The corners trained together on the few examples.

    Attributes:
        best: The best accuracy or loss so far.
        epochs: Epochs trained until it was reached.
        is_reached: Whether it is good enough.
        is_done: Whether every corner was trained to its end.
    """

    def __init__(
        self, few: Splits, corners: Sequence[Point], goal: float, *, is_classes: bool
    ) -> None:
        self._few, self._corners, self._goal = few, corners, goal
        self._sign = 1.0 if is_classes else -1.0
        self._metric = "val_accuracy" if is_classes else "val_loss"
        self._direction = Direction.MAXIMIZE if is_classes else Direction.MINIMIZE
        self._losses: dict[int, tuple[float, float]] = {}  # of first and last epoch
        self._n_failed = 0
        self.best = -self._sign * math.inf
        self.epochs = 0
        self.is_done = False

    @property
    def is_reached(self) -> bool:
        return self._sign * (self.best - self._goal) >= 0

    def run(self, seed: int, device: str, clock: Clock) -> None:
        """Train until one corner is good enough, all are at their end, or the time is up."""
        engine = Engine(
            self._few,
            Goal(self._metric, self._direction),
            seed=seed,
            device=device,
            lanes=len(self._corners),
        )
        waiting = [LaneSpec(number, self._lane(c)) for number, c in enumerate(self._corners)]
        n_ended = 0

        def boundary(asked: Boundary) -> Reply:
            nonlocal waiting, n_ended
            for report in asked.reports:
                for epoch in report.epochs:
                    self._note(report.number, epoch.epoch, epoch.metrics)
                if report.end is not None:
                    n_ended += 1
                    self._n_failed += report.end.failure is not None
            if self.is_reached:
                return Reply(hand_back_all=True)
            admitted, waiting = waiting[: asked.n_free], waiting[asked.n_free :]
            return Reply(admit=tuple(admitted))

        engine.run(boundary, clock.is_over)
        self.is_done = n_ended == len(self._corners)

    def advice(self) -> str:
        """Return what to change, judged by the corner that came furthest."""
        if self._n_failed == len(self._corners):
            return f"every one of them diverged: {self._calmer()}"
        # first weights and networks differ: what counts is how far each one came from there
        falls = {index: (first - last) / first for index, (first, last) in self._losses.items()}
        best = max(falls, key=falls.__getitem__)
        optimizers = [optimizer_of(corner.config) for corner in self._corners]
        rates = [one.learning_rate for one in optimizers]
        if self._n_failed == 0 and min(falls.values()) >= 0 and falls[best] < HARDLY:
            return (
                "the loss hardly falls: raise the upper end of optimizer.learning_rate (the "
                f"largest tried is {max(rates):.3g})"
            )
        if optimizers[best].l1 > 0 or optimizers[best].l2 > 0:
            return "lower the lower end of optimizer.l1 and l2, or raise that of the learning rate"
        if rates[best] <= min(rates) < max(rates):
            return (
                "lower the lower end of optimizer.learning_rate (the loss fell most at "
                f"{rates[best]:.3g}, the smallest tried)"
            )
        if rates[best] >= max(rates):
            return (
                "raise the upper end of optimizer.learning_rate (the loss fell most at "
                f"{rates[best]:.3g}, the largest tried), or allow wider networks"
            )
        return "allow wider or deeper networks, or check that the labels belong to the inputs"

    def _calmer(self) -> str:
        """Return what to change where every corner diverged."""
        optimizers = [optimizer_of(corner.config) for corner in self._corners]
        if all(one.l2 * one.learning_rate > 1 for one in optimizers):
            return (
                "each step overshoots, because optimizer.l2 times learning_rate is above 1 "
                f"(at least {min(one.l2 * one.learning_rate for one in optimizers):.3g}): "
                "lower optimizer.l2"
            )
        scales = [_excess_of_scale(model_of(corner.config), self._few) for corner in self._corners]
        if min(scales) > WILD:
            return (
                f"the first weights are {min(scales):.3g} times as large as he draws them: lower "
                "model.init_scale, or use model.init: he; then, if need be, "
                "optimizer.learning_rate"
            )
        return "lower optimizer.learning_rate"

    def _note(self, index: int, epoch: int, metrics: Mapping[str, float]) -> None:
        first, _ = self._losses.get(index, (metrics["val_loss"], 0.0))
        self._losses[index] = first, metrics["val_loss"]
        value = metrics[self._metric]
        if self.is_reached:
            return
        self.epochs = max(self.epochs, epoch)
        if self._sign * (value - self.best) > 0:
            self.best = value

    def _lane(self, corner: Point) -> TrialConfig:
        config = corner.config
        batch = min(config.training.batch_size, len(self._few.train))
        n_epochs = max(1, math.ceil(MAX_STEPS * batch / len(self._few.train)))
        plain = type(config.optimizer).model_fields["schedule"].default
        return dataclasses.replace(
            config,
            optimizer=config.optimizer.model_copy(update={"schedule": plain}),
            training=Training(epochs=n_epochs, batch_size=batch),
        )


def _with_quick_models(corners: Sequence[Point], few: Splits) -> list[Point]:
    """Return the corners with the quickest of their networks in place of their own.

    None are left if all networks are too large.
    """
    work: dict[Model, int] = {}
    for corner in corners:
        model = model_of(corner.config)
        batch = min(corner.config.training.batch_size, len(few.train))
        step = _STEP_ANSWERS * batch * len(corners) * work_of(model, few)
        is_small = model.n_parameters(few.n_inputs, few.n_outputs) <= MAX_PARAMETERS
        if is_small and step <= MAX_WORK:
            work[model] = work_of(model, few)
    if not work:
        return []
    least = min(work.values())
    quick = [m for m in sorted(work, key=work.__getitem__) if work[m] <= SLOW * least][:N_MODELS]
    return [
        dataclasses.replace(
            corner, config=dataclasses.replace(corner.config, model=quick[index % len(quick)])
        )
        for index, corner in enumerate(corners)
    ]


def _excess_of_scale(model: Model, few: Splits) -> float:
    """Return how many times as large as he's the first weights are; 1 of other rules."""
    init = getattr(model, "init", None)
    if init not in {"normal", "uniform"}:
        return 1.0
    shapes = model.shapes(few.n_inputs, few.n_outputs).values()
    n_inputs = max(shape[1] for shape in shapes if len(shape) == 2)
    scale = float(getattr(model, "init_scale", 0.0))
    return scale / math.sqrt((2 if init == "normal" else 6) / n_inputs)


def _easy(index: int) -> Callable[[str, Domain], float]:
    """Return where in each range the corner of this index stands."""

    def place(name: str, domain: Domain) -> float:
        field = field_of(name)
        if field in _LOW:
            return place_of(domain, 0.0)
        if field in _EASY and not _holds_text(domain):
            return place_of(domain, _EASY[field])
        return stratified(name, index, N_CORNERS)

    return place


def _holds_text(domain: Domain) -> bool:
    """Whether choices are whole architectures, as text."""
    choices = getattr(domain, "choices", ())
    return any(isinstance(choice, str) for choice in choices)
