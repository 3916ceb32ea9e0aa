"""Which trials can be lanes of one pack."""

from collections.abc import Hashable, Mapping
from typing import cast

from hpsearch.layers.stack import fits
from hpsearch.models.base import Model
from hpsearch.optimizers.base import Optimizer
from hpsearch.spec.config import TrialConfig

MAX_PADDING = 1.3  # of the lane's own work; beyond it, buckets of exact widths are faster

_Shapes = Mapping[str, tuple[int, ...]]


def model_of(config: TrialConfig) -> Model:
    """Return the trial's model settings as the plugin they are."""
    return cast(Model, config.model)


def optimizer_of(config: TrialConfig) -> Optimizer:
    """Return the trial's optimizer settings as the plugin they are."""
    return cast(Optimizer, config.optimizer)


def signature(config: TrialConfig, n_examples: int) -> Hashable:
    """Return what lanes of one tensor program must have in common, widths apart."""
    optimizer = optimizer_of(config)
    return (
        model_of(config).program(),
        type(optimizer),
        # gradients have to be seen whole before they are used: another program, to the last bit
        optimizer.gradient_clip_norm is not None,
        optimizer.l1 > 0,
        min(config.training.batch_size, n_examples),
    )


def work(shapes: _Shapes) -> int:
    """Return multiply-adds per example of a forward pass, the measure of padding."""
    return sum(shape[0] * shape[1] for shape in shapes.values() if len(shape) == 2)


def is_room(lane: _Shapes, pack: _Shapes, *, is_exact: bool) -> bool:
    """Whether a lane may stand in a pack of wider lanes.

    Args:
        lane: Parameter shapes of the lane.
        pack: Parameter shapes of the pack's widest lane.
        is_exact: Padding changes the order of sums, so exact packs hold equal widths only.
    """
    if is_exact:
        return dict(lane) == dict(pack)
    return all(fits(shape, pack[name]) for name, shape in lane.items()) and (
        work(pack) <= MAX_PADDING * work(lane)
    )
