"""One epoch of one pack: trained, validated, and noted in its lanes."""

import math
import time
from collections.abc import Callable

from hpsearch.spec.states import FailureKind
from hpsearch.training.lane import Lane
from hpsearch.training.lanes import EpochResult, LaneEnd, LaneOutcome
from hpsearch.training.pack import Pack
from hpsearch.training.setup import Setup
from hpsearch.training.update import epoch_rate


def play_epoch(pack: Pack, setup: Setup, poll: Callable[[], None]) -> None:
    """Train an epoch and note what came of it; a lane that diverged has ended.

    Args:
        pack: Its lanes all have epochs to go.
        setup: The engine's.
        poll: Called between steps; may raise to leave.
    """
    started = time.monotonic()
    played = pack.train_epoch(poll)
    validation_sums, dead = pack.validate(poll)
    seconds = time.monotonic() - started
    pack.count_steps()
    loss, resident = setup.loss, setup.resident
    for row, lane in enumerate(tuple(pack.lanes)):
        metrics = {
            **loss.metrics(played.sums[row], len(resident.train), "train"),
            **loss.metrics(validation_sums[row], len(resident.validation), "val"),
            "grad_norm": float(played.grad_norm[row]),
            "learning_rate": epoch_rate(lane, pack.n_steps),
            "seconds": seconds,
        }
        signs = {
            "weight_norm": float(played.weight_norm[row]),
            "update_ratio": float(played.update_ratio[row]),
            **({} if dead is None else {"dead_units": dead[row]}),
        }
        _record(pack, lane, metrics, signs)
    pack.commit()


def complete(pack: Pack, lane: Lane, poll: Callable[[], None]) -> None:
    """End a lane with its best epoch's metrics, test metrics and weights.

    Args:
        pack: The lane's.
        lane: It has a best epoch.
        poll: Called between batches of the test split; may raise to leave.
    """
    tracker = lane.tracker
    test, confusion = pack.test(lane, poll)
    lane.end = LaneEnd(
        LaneOutcome.COMPLETED,
        best_epoch=tracker.best_epoch,
        best_metrics={**tracker.best_metrics, "n_parameters": float(lane.n_parameters)},
        test=test,
        confusion=None if confusion is None else tuple(map(tuple, confusion.tolist())),
        stopped_early=(
            tracker.is_out_of_patience and lane.epoch < lane.spec.config.training.epochs
        ),
        weights=pack.best_weights(lane),
    )


def _record(pack: Pack, lane: Lane, metrics: dict[str, float], signs: dict[str, float]) -> None:
    """Note a lane's epoch: metrics must be finite, signs that are not are left out."""
    lane.epoch += 1
    wrong = next((name for name, value in metrics.items() if not math.isfinite(value)), None)
    if wrong is not None:
        message = f"{wrong} became {metrics[wrong]} in epoch {lane.epoch}"
        lane.end = LaneEnd(LaneOutcome.FAILED, failure=(FailureKind.DIVERGED, message))
        return
    metrics |= {name: value for name, value in signs.items() if math.isfinite(value)}
    lane.pending.append(EpochResult(lane.epoch, metrics))
    if lane.tracker.record(lane.epoch, metrics):
        pack.keep_best(lane)
