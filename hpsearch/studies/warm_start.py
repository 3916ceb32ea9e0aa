"""Begin a study with the best points of others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hpsearch.errors import FieldError, InvalidDefinition, RequestInvalid, StudyNotFound
from hpsearch.spec.definition import Definition
from hpsearch.spec.space import ParameterValue
from hpsearch.spec.states import Origin
from hpsearch.storage import studies, trials
from hpsearch.storage.database import Database, Transaction, now
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.ranking import ranked

MAX_LISTED = 20  # points outside the space that get a warning of their own

Values = Mapping[str, ParameterValue]


@dataclass(frozen=True, slots=True)
class FirstPoints:
    """What a study begins with.

    Attributes:
        points: Points of its space, study by study, the best of each first, none twice.
        warnings: What was left out, and why.
    """

    points: tuple[Values, ...] = ()
    warnings: tuple[str, ...] = ()


def preview_warm_start(database: Database, definition: Definition) -> tuple[str, ...]:
    """Return the warnings :func:`create_study` would give now.

    Raises:
        InvalidDefinition: A study it names does not exist.
    """
    with database.read() as tx:
        return first_points(tx, definition).warnings


def first_points(tx: Transaction, definition: Definition) -> FirstPoints:
    """Return the points a definition's ``warm_start`` asks for.

    A point is a trial's parameters under the names they have in both studies: it belongs to
    the space if it gives a valid value for each parameter there, and no other.

    Raises:
        InvalidDefinition: A study it names does not exist.
    """
    if definition.warm_start is None:
        return FirstPoints()
    points: dict[frozenset[tuple[str, ParameterValue]], Values] = {}
    outside = []
    for name, number, params in _candidates(tx, definition):
        try:
            definition.space.resolve(params)
        except RequestInvalid as error:
            reasons = "; ".join(f"{item.loc[-1]} {item.msg}" for item in error.errors[:3])
            outside.append(f"warm_start: trial {number} of {name} is outside the space: {reasons}")
        else:
            points.setdefault(frozenset(params.items()), params)
    warnings = outside[:MAX_LISTED]
    if len(outside) > MAX_LISTED:
        n_more = len(outside) - MAX_LISTED
        warnings.append(f"warm_start: {n_more} more points are outside the space")
    kept, limit = tuple(points.values()), definition.limits.max_trials
    if limit is not None and len(kept) > limit:
        warnings.append(
            f"warm_start: {len(kept)} points, but limits.max_trials is {limit}; "
            "the others are left out"
        )
        kept = kept[:limit]
    return FirstPoints(kept, tuple(warnings))


def enqueue_first(tx: Transaction, study: StudyRecord, first: FirstPoints) -> None:
    """Write the points as WAITING trials of a study that has none."""
    if first.points:
        trials.enqueue_trials(
            tx,
            study.study_id,
            first_number=0,
            points=first.points,
            origin=Origin.WARM_START,
            request_key=None,
            revision=study.revision,
            at=now(tx),
        )


def _candidates(tx: Transaction, definition: Definition) -> Iterator[tuple[str, int, Values]]:
    """Yield study, number and parameters of the trials asked for, the best of each study first."""
    assert definition.warm_start is not None  # noqa: S101 - asked before
    records, errors = [], []
    for i, name in enumerate(definition.warm_start.studies):
        try:
            records.append(studies.get_study(tx, name))
        except StudyNotFound:
            loc = ("warm_start", "studies", i)
            errors.append(FieldError(loc, f"there is no study {name}", name))
    if errors:
        raise InvalidDefinition(errors)
    for record in records:
        numbers = ranked(tx, record)[: definition.warm_start.top]
        found = {trial.number: trial for trial in trials.by_numbers(tx, record.study_id, numbers)}
        params = trials.read_params(tx, [trial.trial_id for trial in found.values()])
        for number in numbers:
            yield record.name, number, params.get(found[number].trial_id, {})
