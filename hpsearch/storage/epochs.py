"""Rows of epochs: every metric of every epoch of every trial."""

from collections.abc import Iterable, Mapping

from sqlalchemy import select

from hpsearch.spec.views import EpochView
from hpsearch.storage import bulk
from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import epochs, trials


def insert_epochs(
    tx: Transaction,
    study_id: int,
    metrics: Mapping[tuple[int, int], Mapping[str, float]],
    *,
    revision: int,
) -> None:
    """Write metrics by (trial id, epoch); the epochs are not there yet."""
    rows = [
        {
            "trial_id": trial_id,
            "epoch": epoch,
            "study_id": study_id,
            "revision": revision,
            "metrics": dict(of_epoch),
        }
        for (trial_id, epoch), of_epoch in metrics.items()
    ]
    bulk.insert_rows(tx, epochs, rows)


def read_epochs(
    tx: Transaction,
    study_id: int,
    *,
    numbers: Iterable[int] | None = None,
    after: tuple[int, int] | None = None,
    limit: int | None = None,
) -> list[EpochView]:
    """Return epochs ordered by trial number and epoch.

    Args:
        tx: An open transaction.
        study_id: Whose.
        numbers: Only of these trials; None for all.
        after: ``(number, epoch)`` of the last epoch of the page before.
        limit: Most epochs returned.
    """
    joined = epochs.join(trials, epochs.c.trial_id == trials.c.trial_id)
    query = (
        select(trials.c.number, epochs.c.epoch, epochs.c.metrics)
        .select_from(joined)
        .where(epochs.c.study_id == study_id)
        .order_by(trials.c.number, epochs.c.epoch)
    )
    if numbers is not None:
        query = query.where(trials.c.number.in_(list(numbers)))
    if after is not None:
        number, epoch = after
        query = query.where(
            (trials.c.number > number) | ((trials.c.number == number) & (epochs.c.epoch > epoch))
        )
    if limit is not None:
        query = query.limit(limit)
    return [EpochView(*row) for row in tx.execute(query)]
