"""How many points a sampler has left: a grid ends."""

from hpsearch.errors import InvalidDefinition
from hpsearch.sampling.base import Sampler
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.compiled import compiled


def points_left(study: StudyRecord) -> int | None:
    """Return how many sample indexes may still be issued; None for as many as are asked for."""
    try:
        definition = compiled(study)
    except InvalidDefinition:
        return None  # a plugin that is not installed here; who samples will say so
    sampler = definition.sampler
    n_points = sampler.n_points(definition.space) if isinstance(sampler, Sampler) else None
    return None if n_points is None else max(0, n_points - study.next_sample_index)
