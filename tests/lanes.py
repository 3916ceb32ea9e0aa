"""What training tests share: small data, a caller that admits trials, a plain torch twin."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hpsearch.datasets.base import Arrays
from hpsearch.datasets.splits import Part, Splits, split
from hpsearch.models.base import Model
from hpsearch.models.mlp import Mlp
from hpsearch.optimizers.base import Optimizer
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.sections import DatasetSection, Direction, Task, Training
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import (
    Boundary,
    EpochResult,
    Goal,
    HandedBack,
    LaneEnd,
    LaneReport,
    LaneSpec,
    Reply,
)

LOWEST_LOSS = Goal("val_loss", Direction.MINIMIZE)
HIGHEST_ACCURACY = Goal("val_accuracy", Direction.MAXIMIZE)


def class_splits(n_examples: int = 260, n_features: int = 12, n_classes: int = 4) -> Splits:
    """Return noisy clusters, 200 of 260 to train on by default."""
    rng = np.random.default_rng(7)
    y = np.arange(n_examples) % n_classes
    centres = rng.standard_normal((n_classes, n_features)) * 1.5
    x = (centres[y] + rng.standard_normal((n_examples, n_features))).astype(np.float32)
    section = DatasetSection(
        name="clusters", test_fraction=30 / n_examples, validation_fraction=30 / (n_examples - 30)
    )
    return split(Arrays(x, y.astype(np.int64), n_classes), section, Task.CLASSIFICATION)


def byte_splits(n_features: int = 12) -> Splits:
    """Return the classes of :func:`class_splits` with examples stored as bytes."""
    found = class_splits(n_features=n_features)
    rng = np.random.default_rng(3)

    def stored(part: Part) -> Part:
        noise = rng.integers(0, 40, part.x.shape)
        return Part((part.x * 12 + 90 + noise).clip(0, 255).astype(np.uint8), part.y)

    parts = (stored(part) for part in (found.train, found.validation, found.test))
    train, validation, test = parts
    return replace(
        found, train=train, validation=validation, test=test, shift=110.3182, factor=1 / 31.567
    )


def line_splits(n_examples: int = 260, n_features: int = 6) -> Splits:
    """Return a noisy linear target in units of its own (mean 50, deviation about 20)."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((n_examples, n_features)).astype(np.float32)
    y = x @ rng.standard_normal(n_features) * 8 + 50 + rng.standard_normal(n_examples)
    section = DatasetSection(name="line", validation_fraction=0.2)
    return split(Arrays(x, y[:, None], 1), section, Task.REGRESSION)


def trial(
    *,
    model: Model | None = None,
    optimizer: Optimizer | None = None,
    **training: Any,
) -> TrialConfig:
    """Return a config of a small perceptron unless told otherwise."""
    return TrialConfig(
        model or Mlp(hidden_units=(16,)),
        optimizer or Sgd(learning_rate=0.05, momentum=0.9),
        Training(**{"epochs": 3, "batch_size": 20, **training}),
    )


@dataclass
class Caller:
    """Admits trials as there is room and remembers all it is told.

    Attributes:
        waiting: Trials still to admit.
        decide: Asked at every boundary for a reply whose ``admit`` is filled in here.
    """

    waiting: list[LaneSpec]
    decide: Callable[[Boundary], Reply] = lambda _: Reply()
    boundaries: list[Boundary] = field(default_factory=list)
    epochs: dict[int, list[EpochResult]] = field(default_factory=dict)
    ends: dict[int, LaneEnd] = field(default_factory=dict)
    last: dict[int, LaneReport] = field(default_factory=dict)
    handed_back: dict[int, HandedBack] = field(default_factory=dict)

    def __call__(self, boundary: Boundary) -> Reply:
        """Answer one boundary."""
        self.boundaries.append(boundary)
        for report in boundary.reports:
            self.epochs.setdefault(report.number, []).extend(report.epochs)
            self.last[report.number] = report
            if report.end is not None:
                assert report.number not in self.ends, "a lane ends once"
                self.ends[report.number] = report.end
        reply = self.decide(boundary)
        admitted, self.waiting = (
            self.waiting[: boundary.n_free],
            self.waiting[boundary.n_free :],
        )
        return Reply(
            drop=reply.drop,
            finish=reply.finish,
            hand_back=reply.hand_back,
            hand_back_all=reply.hand_back_all,
            admit=(*reply.admit, *admitted),
        )

    def curve(self, number: int) -> list[tuple[int, dict[str, float]]]:
        """Return a trial's epochs without the clock's part."""
        return [
            (one.epoch, {k: v for k, v in one.metrics.items() if k != "seconds"})
            for one in self.epochs[number]
        ]


def play(
    engine: Engine,
    trials: Sequence[TrialConfig | LaneSpec],
    *,
    decide: Callable[[Boundary], Reply] = lambda _: Reply(),
    interrupted: Callable[[], bool] = lambda: False,
) -> Caller:
    """Run the engine on these trials, numbered from 0, and return what was heard of them."""
    specs = [
        one if isinstance(one, LaneSpec) else LaneSpec(number, one)
        for number, one in enumerate(trials)
    ]
    caller = Caller(specs, decide)
    caller.handed_back = {one.number: one for one in engine.run(caller, interrupted)}
    return caller
