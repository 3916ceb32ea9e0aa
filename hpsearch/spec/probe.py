"""Does a settings class refuse some combination of values? Asked before anything is trained.

A plugin's validators see resolved values only, so the points of the space are tried out: all of
them where they are few; else both ends, the middle and the lowest step of every range and every
choice, each alone and in pairs, and a fixed random sample. A space is accepted only if no
tried point is refused: a setting that would be ignored or wrong in some trials is a mistake of
the definition, and branches say what was meant.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product
from random import Random
from typing import Any

from pydantic import ValidationError

from hpsearch.spec.nodes import SectionSpace
from hpsearch.spec.problems import Loc, Problems
from hpsearch.spec.space import CategoricalDomain, Domain, IntDomain, ParameterValue
from hpsearch.spec.wording import show

MAX_POINTS = 512  # a space up to this size is tried completely
MAX_PAIRS = 2_000  # points that differ from the base in two parameters
N_RANDOM = 200  # points at random, for what three and more parameters do together
MAX_IN_RANGE = 1_000  # values of one range that are visited one by one
PAIR_VALUES = 6  # values of one parameter that take part in pairs

Point = Mapping[str, ParameterValue]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A point the class refuses.

    Attributes:
        field: The field to blame, None if none can be singled out.
        message: The validator's words.
        values: The field values of the point.
    """

    field: str | None
    message: str
    values: Mapping[str, Any]


def report_refusals(
    space: SectionSpace, places: Mapping[str, Loc], home: Loc, problems: Problems
) -> None:
    """Report every combination of values the class refuses, each reason once.

    Args:
        space: The section.
        places: Where each field the user wrote stands.
        home: Where the section stands, to report what no written field is to blame for.
        problems: Takes the refusals.
    """
    refusals: dict[tuple[str | None, str], Refusal] = {}
    n_points = n_refused = 0
    for values in tried_values(space):
        n_points += 1
        found = _refusals(space, values, places)
        n_refused += bool(found)
        for refusal in found:
            refusals.setdefault((refusal.field, refusal.message), refusal)
    for refusal in refusals.values():
        loc = places[refusal.field] if refusal.field else home
        message = refusal.message + _circumstances(space, refusal)
        if n_refused < n_points:
            message += (
                "; at other points it is fine: give each case a branch of its own, in choices"
            )
        problems.add(loc, message, refusal.values.get(refusal.field or ""))


def writable_defaults(space: SectionSpace, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults the class accepts when they are written out.

    A class may tell a field that was given from one that was not, as ``init_scale`` is wrong
    beside ``init: he`` at any value. Such a default is left out of the full definition.

    Args:
        space: A section without refused points.
        defaults: Values of the fields the user did not write.
    """
    kept = dict(defaults)
    for values in tried_values(space):
        while kept and _error(space, {**kept, **values}) is not None:
            culprits = [name for name in kept if _error(space, {**values, name: kept[name]})]
            for name in culprits or [next(reversed(kept))]:
                del kept[name]
    return kept


def tried_values(space: SectionSpace) -> Iterator[dict[str, Any]]:
    """Yield the field values of the points that are tried out."""
    parameters = {item.name: item.domain for item in space.parameters()}
    for point in _points(parameters):
        yield space.values(lambda name, _, point=point: point[name])  # type: ignore[misc]


def range_values(space: SectionSpace) -> Iterator[dict[str, Any]]:
    """Yield the field values of points that visit the whole numbers of every range in turn.

    At most the first thousand of a range; all other parameters stay at their first value.
    """
    parameters = {item.name: item.domain for item in space.parameters()}
    base: Point = {name: _values(domain)[0] for name, domain in parameters.items()}
    for name, domain in parameters.items():
        if isinstance(domain, IntDomain):
            for value in range(domain.low, domain.high + 1, domain.step)[:MAX_IN_RANGE]:
                point = {**base, name: value}
                yield space.values(lambda name, _, point=point: point[name])  # type: ignore[misc]


def _points(domains: Mapping[str, Domain]) -> Iterator[Point]:
    names = list(domains)
    values = {name: _values(domain) for name, domain in domains.items()}
    if math.prod(len(options) for options in values.values()) <= MAX_POINTS:
        yield from (dict(zip(names, point, strict=True)) for point in product(*values.values()))
        return
    bases = [{name: options[end] for name, options in values.items()} for end in (0, -1)]
    for base in bases:
        yield base
        yield from ({**base, name: value} for name in names for value in values[name])
    yield from islice(_pairs(bases[0], values), MAX_PAIRS)
    dice = Random(0)  # noqa: S311 - which points are tried has to be the same every time
    for _ in range(N_RANDOM):
        yield {name: dice.choice(options) for name, options in values.items()}


def _pairs(base: Point, values: Mapping[str, Sequence[ParameterValue]]) -> Iterator[Point]:
    few = {name: _spread(options) for name, options in values.items()}
    for one, other in combinations(few, 2):
        for first, second in product(few[one], few[other]):
            yield {**base, one: first, other: second}


def _spread(options: Sequence[ParameterValue]) -> Sequence[ParameterValue]:
    if len(options) <= PAIR_VALUES:
        return options
    return [options[i * (len(options) - 1) // (PAIR_VALUES - 1)] for i in range(PAIR_VALUES)]


def _values(domain: Domain) -> Sequence[ParameterValue]:
    if isinstance(domain, CategoricalDomain):
        return list(domain.choices)
    if isinstance(domain, IntDomain):
        middle = domain.low + (domain.high - domain.low) // domain.step // 2 * domain.step
        return sorted({domain.low, domain.low + domain.step, middle, domain.high})
    if domain.step is not None:
        n_steps = round((domain.high - domain.low) / domain.step)
        return sorted({domain.low, domain.low + domain.step * (n_steps // 2), domain.high})
    if domain.log:
        return [domain.low, math.sqrt(domain.low) * math.sqrt(domain.high), domain.high]
    return [domain.low, domain.low / 2 + domain.high / 2, domain.high]


def _error(space: SectionSpace, values: Mapping[str, Any]) -> ValidationError | None:
    try:
        space.settings.model_validate(values)
    except ValidationError as error:
        return error
    return None


def _refusals(
    space: SectionSpace, values: Mapping[str, Any], places: Mapping[str, Loc]
) -> list[Refusal]:
    error = _error(space, values)
    if error is None:
        return []
    found = []
    for detail in error.errors(include_url=False):
        message = (
            str(detail["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        )
        loc: Loc = detail["loc"]
        if loc and loc[0] in places:
            found.append(Refusal(str(loc[0]), message, values))
        else:
            found.append(Refusal(_culprit(space, values, places, message), message, values))
    return found


def _culprit(
    space: SectionSpace, values: Mapping[str, Any], places: Mapping[str, Loc], message: str
) -> str | None:
    """Return the written field without which the point would be fine, or None."""
    without = [
        field
        for field in places
        if field in values
        and _error(space, {key: item for key, item in values.items() if key != field}) is None
    ]
    named = [field for field in without or places if _is_named(field, message)]
    if named:
        return min(named, key=message.index)
    return without[-1] if without else None


def _is_named(field: str, message: str) -> bool:
    return re.search(rf"\b{re.escape(field)}\b", message) is not None


def _circumstances(space: SectionSpace, refusal: Refusal) -> str:
    searched = [
        field
        for field, node in space.fields.items()
        if _is_named(field, refusal.message)
        and list(SectionSpace(space.settings, {field: node}).parameters())
    ]
    parts = [f"{field} = {show(_plain(refusal.values[field]))}" for field in searched]
    return f" (here {', '.join(parts)})" if parts else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
