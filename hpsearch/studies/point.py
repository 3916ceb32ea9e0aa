"""A point somebody asks for, whole or in part: checked before a trial is made of it."""

from collections.abc import Mapping
from typing import Any

from hpsearch.errors import FieldError, RequestInvalid
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.space import CategoricalDomain, Domain, ParameterValue

_MAX_WALKS = 1000  # choices a parameter may have


def checked_point(space: SearchSpace, params: Mapping[str, Any]) -> dict[str, ParameterValue]:
    """Return the values as parameters store them.

    Args:
        space: The study's space.
        params: A value for any of its parameters; the others are sampled.

    Raises:
        RequestInvalid: A parameter is unknown, outside its domain, or without meaning at this
            point or wherever the open parameters may lead. All are named.
    """
    errors: list[FieldError] = []
    fixed: dict[str, ParameterValue] = {}
    for name, value in params.items():
        try:
            fixed[name] = space.encode(name, value)
        except RequestInvalid as error:
            errors.extend(error.errors)
    if errors:
        raise RequestInvalid(errors)
    if _walk(space, fixed, 0) <= fixed.keys():
        space.resolve(fixed)
        return fixed
    choices = [d.size for d in space.domains.values() if isinstance(d, CategoricalDomain)]
    walks = [_walk(space, fixed, i) for i in range(min(_MAX_WALKS, max(choices, default=1)))]
    open_names = sorted(set().union(*walks) - fixed.keys())
    astray = sorted(fixed.keys() - set.intersection(*walks))
    if astray:
        listed = ", ".join(open_names[:10])
        message = f"has a meaning at some points only: fix what it depends on, too, of {listed}"
        raise RequestInvalid(
            [FieldError(("params", name), message, params[name]) for name in astray]
        )
    return fixed


def _walk(space: SearchSpace, fixed: Mapping[str, ParameterValue], turn: int) -> set[str]:
    """Return the parameters of one point: the least depth, and one choice after another."""

    def draw(name: str, domain: Domain) -> ParameterValue:
        if name in fixed:
            return fixed[name]
        if isinstance(domain, CategoricalDomain):
            return domain.choices[turn % domain.size]
        return domain.low

    return set(space.suggest(draw))
