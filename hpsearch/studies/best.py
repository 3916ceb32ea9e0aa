"""Which trials of a study are best: one, or the Pareto front."""

from hpsearch.storage import tallies
from hpsearch.storage.database import Transaction
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.ranking import front


def best_numbers(tx: Transaction, study: StudyRecord) -> list[int]:
    """Return the best COMPLETE trials: the earliest best one, or the front in number order."""
    if len(study.definition["objectives"]) == 1:
        best = tallies.tally(tx, study).best
        return [] if best is None else [best[0]]
    return front(tx, study)
