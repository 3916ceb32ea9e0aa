"""The points of a finite search space by number, without a list of them."""

import json
from collections.abc import Iterable

from hpsearch.spec.nodes import (
    BranchSpace,
    Constant,
    EveryLayer,
    LengthOf,
    Node,
    Parameter,
    PartSpace,
    PerLayer,
    SectionSpace,
    Subsection,
    product,
)
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.space import Domain, FloatDomain, IntDomain, ParameterValue

Values = dict[str, ParameterValue]


def point_at(space: SearchSpace, index: int) -> Values:
    """Return a point of a finite space: every index below its size gives another one.

    Args:
        space: The space.
        index: From 0 to ``space.size() - 1``.

    Raises:
        IndexError: There is no such point.
    """
    size = space.size()
    if size is None or not 0 <= index < size:
        raise IndexError(f"the space has {size} points, there is none of number {index}")
    values: Values = {}
    for part in (space.model, space.optimizer, space.training):
        index, rank = divmod(index, _finite(part.size()))
        values |= _part_at(part, rank)
    return space.suggest(lambda name, _: values[name])


def value_at(domain: Domain, index: int) -> ParameterValue:
    """Return a value of a finite domain by number, from 0, in the order of the domain."""
    if isinstance(domain, IntDomain):
        return domain.low + domain.step * index
    if isinstance(domain, FloatDomain):
        return min(domain.low + (domain.step or 0.0) * index, domain.high)
    return domain.choices[index]


def _part_at(part: PartSpace, rank: int) -> Values:
    if isinstance(part, SectionSpace):
        return _section_at(part, rank)
    return _branch_at(part, rank)


def _branch_at(part: BranchSpace, rank: int) -> Values:
    for label, section in part.branches.items():
        size = _finite(section.size())
        if rank < size:
            return {part.name: label, **_section_at(section, rank)}
        rank -= size
    raise IndexError(rank)


def _section_at(section: SectionSpace, rank: int) -> Values:
    """Return the values of one point: first those no depth depends on, then depth by depth."""
    layered = sorted(
        {node.depth for node in section.fields.values() if isinstance(node, PerLayer | EveryLayer)}
    )
    deciding = {depth: _source(section, depth) for depth in layered}
    free = [
        node
        for field, node in section.fields.items()
        if isinstance(node, Parameter) and field not in deciding.values()
    ]
    rank, values = _parameters_at(free, rank)
    for node in section.fields.values():
        if isinstance(node, Subsection):
            rank, inner = divmod(rank, _finite(node.part.size()))
            values |= _part_at(node.part, inner)
    for depth, source in deciding.items():
        rank, of_depth = _layers_at(section, depth, section.fields[source], rank)
        values |= of_depth
    return values


def _source(section: SectionSpace, depth: str) -> str:
    """Return the field that decides a depth: itself, or the list whose length it is."""
    node = section.fields[depth]
    return node.field if isinstance(node, LengthOf) else depth


def _layers_at(section: SectionSpace, depth: str, source: Node, rank: int) -> tuple[int, Values]:
    """Return what is left of the rank, and a depth with the values of all its layers."""
    options = [
        (value, n_layers, _layer_parameters(section, depth, n_layers))
        for value, n_layers in _depths(source)
    ]
    sizes = [_finite(product([item.domain.size for item in items])) for _, _, items in options]
    rest, rank = divmod(rank, sum(sizes))
    for (value, _, items), size in zip(options, sizes, strict=True):
        if rank < size:
            _, values = _parameters_at(items, rank)
            own = {source.name: value} if isinstance(source, Parameter) else {}
            return rest, {**own, **values}
        rank -= size
    raise IndexError(rank)


def _depths(source: Node) -> Iterable[tuple[ParameterValue, int]]:
    """Yield every value of the field that decides a depth, and the depth."""
    if isinstance(source, Constant):
        length = source.value if isinstance(source.value, int) else len(source.value)
        yield None, length
        return
    if not isinstance(source, Parameter):
        raise TypeError(source)
    for index in range(_finite(source.domain.size)):
        value = value_at(source.domain, index)
        yield value, len(json.loads(str(value))) if source.holds_lists else int(str(value))


def _layer_parameters(section: SectionSpace, depth: str, n_layers: int) -> list[Parameter]:
    found: list[Parameter] = []
    for node in section.fields.values():
        match node:
            case EveryLayer(field, Parameter() as value) if field == depth and n_layers:
                found.append(value)
            case PerLayer(field, entries) if field == depth:
                used = entries[:n_layers]
                found += [entry for entry in used if isinstance(entry, Parameter)]
    return found


def _parameters_at(parameters: Iterable[Parameter], rank: int) -> tuple[int, Values]:
    """Return what is left of the rank, and a value for each parameter."""
    values: Values = {}
    for item in parameters:
        rank, index = divmod(rank, _finite(item.domain.size))
        values[item.name] = value_at(item.domain, index)
    return rank, values


def _finite(size: int | None) -> int:
    if size is None:
        raise IndexError("a space with a continuum has no numbered points")
    return size
