"""How studies went, to be laid side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.spec.sections import Direction
from hpsearch.storage import studies, trials
from hpsearch.storage.database import Database

MAX_POINTS = 400


@dataclass(frozen=True, slots=True)
class Course:
    """The best value of the first objective after each COMPLETE trial, in number order."""

    best: tuple[float, ...]


def courses(database: Database, names: Sequence[str]) -> list[Course]:
    """Return the course of each study.

    Raises:
        StudyNotFound: One of them is not there.
    """
    found = []
    with database.read() as tx:
        for name in names:
            study = studies.get_study(tx, name)
            is_max = study.definition["objectives"][0]["direction"] == Direction.MAXIMIZE
            better = max if is_max else min
            best: list[float] = []
            for _, values in trials.complete_values(tx, study.study_id):
                value = values[0]
                best.append(value if not best else better(best[-1], value))
            found.append(Course(tuple(best)))
    return found
