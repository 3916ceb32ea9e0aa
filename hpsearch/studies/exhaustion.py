"""How many points a sampler has left: a grid ends."""

from hpsearch.errors import InvalidDefinition
from hpsearch.sampling.base import REGISTRY, Sampler
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.compiled import compiled


def points_left(study: StudyRecord) -> int | None:
    """Return how many sample indexes may still be issued; None for as many as are asked for."""
    n_points = _n_points(study)
    return None if n_points is None else max(0, n_points - study.next_sample_index)


def n_expected(study: StudyRecord, n_trials: int) -> int | None:
    """Return how many trials there will be when every point was tried; None if that never ends.

    Args:
        study: The study.
        n_trials: How many it has now, those included that users have asked for.
    """
    left = points_left(study)
    return None if left is None else n_trials + left


def _n_points(study: StudyRecord) -> int | None:
    kind = REGISTRY.get(study.definition["sampler"]["name"])
    if kind is None or kind.n_points is Sampler.n_points:
        return None  # it never ends, or whoever samples will say that it is not installed
    try:
        definition = compiled(study)
    except InvalidDefinition:
        return None  # some other plugin is not installed here
    sampler = definition.sampler
    return sampler.n_points(definition.space) if isinstance(sampler, Sampler) else None
