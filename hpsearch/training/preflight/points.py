"""Which points of a search space a preflight looks at: few, and spread over all of it."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hpsearch.errors import RequestInvalid
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.space import CategoricalDomain, Domain, IntDomain, ParameterValue
from hpsearch.training.packing import model_of

N_POINTS = 8  # spread points; the middle of every branch comes beside them

Place = Callable[[str, Domain], float]
"""Where in the domain of a parameter to look, from 0 (its low end) to 1 (its high end)."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point looked at.

    Attributes:
        params: Its parameters by name; empty for a definition without ranges.
        config: The trial it stands for.
        is_middle: Whether it lies in the middle of all ranges.
    """

    params: Mapping[str, ParameterValue]
    config: TrialConfig
    is_middle: bool


def spread_points(
    space: SearchSpace, input_shape: tuple[int, ...], n_points: int = N_POINTS
) -> list[Point]:
    """Return the middle of every branch, then points that cover every range evenly.

    Each range is cut into ``n_points`` parts, and each part is visited once (a Latin
    hypercube). Points that a plugin refuses are left out. The same space gives the same points.

    Args:
        space: Where they are looked for.
        input_shape: Of one example: what some defaults of a network follow from.
        n_points: How many beside the middles.
    """
    n_branches = max(
        (_n_choices(domain) for name, domain in space.domains.items() if "." not in name),
        default=1,
    )
    middles = [
        point_at(space, input_shape, _middle(branch), is_middle=True)
        for branch in range(n_branches)
    ]
    spread = [point_at(space, input_shape, _stratum(index, n_points)) for index in range(n_points)]
    found: dict[str, Point] = {}
    for point in (*middles, *spread):
        if point is not None:
            found.setdefault(repr(sorted(point.params.items())), point)
    return list(found.values())


def point_at(
    space: SearchSpace, input_shape: tuple[int, ...], place: Place, *, is_middle: bool = False
) -> Point | None:
    """Return the point with every parameter at its place; None if a plugin refuses it."""
    params = space.suggest(lambda name, domain: value_at(domain, place(name, domain)))
    try:
        config = space.resolve(params)
    except RequestInvalid:
        return None
    model = model_of(config).fitted(input_shape)
    return Point(params, replace(config, model=model), is_middle)


def value_at(domain: Domain, place: float) -> ParameterValue:
    """Return the value at a place from 0 to 1 of a domain, log scales and steps respected."""
    if isinstance(domain, CategoricalDomain):
        return domain.choices[min(int(place * len(domain.choices)), len(domain.choices) - 1)]
    low, high = float(domain.low), float(domain.high)
    if domain.log:
        value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
    else:
        value = low + place * (high - low)
    if domain.step is not None:
        value = low + round((value - low) / domain.step) * domain.step
    value = min(max(value, low), high)
    return round(value) if isinstance(domain, IntDomain) else value


def place_of(domain: Domain, value: float) -> float:
    """Return the place of the value of a domain that is nearest to a number."""
    if isinstance(domain, CategoricalDomain):
        numbers = [number_of(choice) for choice in domain.choices]
        nearest = min(range(len(numbers)), key=lambda i: abs(numbers[i] - value))
        return (nearest + 0.5) / len(numbers)
    low, high = float(domain.low), float(domain.high)
    value = min(max(value, low), high)
    if high <= low:
        return 0.5
    if domain.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def number_of(choice: ParameterValue) -> float:
    """Return a choice as a number to compare by; what is none (null, a list's text) as 0."""
    is_number = isinstance(choice, int | float) and not isinstance(choice, bool)
    return float(choice) if is_number else 0.0  # type: ignore[arg-type] # narrowed above


def field_of(name: str) -> str:
    """Return the field a parameter belongs to: ``hidden_units`` of ``model.hidden_units[1]``."""
    return name.rsplit(".", 1)[-1].partition("[")[0]


def stratified(name: str, index: int, n_points: int) -> float:
    """Return the middle of the part of a range that the point of this index visits."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    order = np.random.default_rng(seed).permutation(n_points)
    return (float(order[index]) + 0.5) / n_points


def _stratum(index: int, n_points: int) -> Place:
    return lambda name, _: stratified(name, index, n_points)


def _middle(branch: int) -> Place:
    def place(name: str, domain: Domain) -> float:
        if "." in name:
            return 0.5
        n_choices = _n_choices(domain)  # `model`, `optimizer`: which branch
        return (branch % n_choices + 0.5) / n_choices

    return place


def _n_choices(domain: Domain) -> int:
    return len(domain.choices) if isinstance(domain, CategoricalDomain) else 1
