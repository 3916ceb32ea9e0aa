"""The compiled search space: what each field of a section gets, and how it depends."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from hpsearch.spec.fields import Settings
from hpsearch.spec.space import CategoricalDomain, Domain, IntDomain, ParameterValue

Draw = Callable[[str, Domain], ParameterValue]
"""Answers a parameter's name and domain with a value."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is the same in every trial."""

    value: Any

    def read(self, draw: Draw) -> Any:  # noqa: ARG002 - as Parameter.read
        """Return the value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that is drawn.

    Attributes:
        name: The parameter's name, ``optimizer.sgd.learning_rate``.
        domain: What is drawn from.
        holds_lists: The choices are lists, as compact JSON text.
    """

    name: str
    domain: Domain
    holds_lists: bool = False

    def read(self, draw: Draw) -> Any:
        """Return the drawn value."""
        value = draw(self.name, self.domain)
        return json.loads(str(value)) if self.holds_lists else value


Value = Constant | Parameter


@dataclass(frozen=True, slots=True)
class LengthOf:
    """The number of layers of a whole architecture, another field's list."""

    field: str


@dataclass(frozen=True, slots=True)
class PerLayer:
    """One value for each layer; ``depth`` is the field that says how many are used."""

    depth: str
    entries: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class EveryLayer:
    """One value, the same for all layers; ``depth`` is the field that says how many."""

    depth: str
    value: Value


@dataclass(frozen=True, slots=True)
class Subsection:
    """A section inside a section, with parameters of its own; it names a plugin."""

    part: "PartSpace"


Node = Constant | Parameter | LengthOf | PerLayer | EveryLayer | Subsection


@dataclass(frozen=True, slots=True)
class Point:
    """The values of one section at one point of the space, not yet seen by the class."""

    settings: type[Settings]
    values: Mapping[str, Any]

    def build(self) -> Settings:
        """Return the settings.

        Raises:
            pydantic.ValidationError: The class refuses this combination of values.
        """
        return self.settings.model_validate(self.values)


@dataclass(frozen=True, slots=True)
class SectionSpace:
    """The points of one section: a settings class and what each written field gets.

    Attributes:
        settings: The class whose instances are the points.
        fields: Nodes by field; a field stands behind those it depends on.
    """

    settings: type[Settings]
    fields: Mapping[str, Node]

    def values(self, draw: Draw) -> dict[str, Any]:
        """Return the field values of one point."""
        values: dict[str, Any] = {}
        for field, node in self.fields.items():
            match node:
                case LengthOf(source):
                    values[field] = len(values[source])
                case PerLayer(depth, entries):
                    values[field] = tuple(entry.read(draw) for entry in entries[: values[depth]])
                case EveryLayer(depth, value):
                    n_layers = values[depth]
                    values[field] = (value.read(draw),) * n_layers if n_layers else ()
                case Subsection(part):
                    values[field] = dict(part.point(draw).values)
                case _:
                    values[field] = node.read(draw)
        return values

    def point(self, draw: Draw) -> Point:
        """Return one point, asking only for parameters that matter there."""
        return Point(self.settings, self.values(draw))

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter there can be."""
        for node in self.fields.values():
            match node:
                case Parameter():
                    yield node
                case EveryLayer(_, Parameter() as value):
                    yield value
                case Subsection(part):
                    yield from part.parameters()
                case PerLayer(_, entries):
                    yield from (entry for entry in entries if isinstance(entry, Parameter))

    def constant_parameters(self) -> set[str]:
        """Return the names of the parameters that every point of the section has."""
        names = set()
        for node in self.fields.values():
            match node:
                case Parameter():
                    names.add(node.name)
                case EveryLayer(depth, Parameter() as value) if min(self.depths(depth)) > 0:
                    names.add(value.name)
                case PerLayer(depth, entries):
                    always = entries[: min(self.depths(depth))]
                    names.update(entry.name for entry in always if isinstance(entry, Parameter))
                case Subsection(part):
                    names |= part.constant_parameters()
        return names

    def depths(self, field: str) -> Counter[int]:
        """Return the layer counts a depth field can take, each with the number of ways to it."""
        node = self.fields[field]
        match node:
            case Constant(value):
                return Counter([value])
            case Parameter(_, IntDomain(low, high, _, step)):
                return Counter(range(low, high + 1, step))
            case Parameter(_, CategoricalDomain(choices)):
                return Counter(int(str(choice)) for choice in choices)
            case LengthOf(source):
                return self._lengths(source)
        raise TypeError(node)

    def _lengths(self, field: str) -> Counter[int]:
        node = self.fields[field]
        if isinstance(node, Constant):
            return Counter([len(node.value)])
        assert isinstance(node, Parameter)  # noqa: S101 - how sections are compiled
        assert isinstance(node.domain, CategoricalDomain)  # noqa: S101
        return Counter(len(json.loads(str(choice))) for choice in node.domain.choices)

    def size(self) -> int | None:
        """Return the number of different points, None if there is a continuum."""
        layered = {
            node.depth for node in self.fields.values() if isinstance(node, PerLayer | EveryLayer)
        }
        sources = layered | {
            node.field
            for field, node in self.fields.items()
            if isinstance(node, LengthOf) and field in layered
        }
        plain = [
            _count(node)
            for field, node in self.fields.items()
            if isinstance(node, Constant | Parameter) and field not in sources
        ]
        parts = [node.part.size() for node in self.fields.values() if isinstance(node, Subsection)]
        by_depth = (self._size_by_depth(depth) for depth in sorted(layered))
        return product([*plain, *parts, *by_depth])

    def _size_by_depth(self, depth: str) -> int | None:
        total = 0
        for n_layers, ways in self.depths(depth).items():
            counts = [
                _layer_count(node, n_layers)
                for node in self.fields.values()
                if isinstance(node, PerLayer | EveryLayer) and node.depth == depth
            ]
            size = product(counts)
            if size is None:
                return None
            total += ways * size
        return total


@dataclass(frozen=True, slots=True)
class BranchSpace:
    """The points of a section with branches: first which branch, then a point of it.

    Attributes:
        name: The parameter that chooses, ``optimizer``.
        branches: Sections by label.
    """

    name: str
    branches: Mapping[str, SectionSpace]

    @property
    def domain(self) -> CategoricalDomain:
        """The labels to choose from."""
        return CategoricalDomain(tuple(self.branches))

    def point(self, draw: Draw) -> Point:
        """Return one point of the drawn branch."""
        return self.branches[str(draw(self.name, self.domain))].point(draw)

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter there can be, common ones once for each branch."""
        yield Parameter(self.name, self.domain)
        for section in self.branches.values():
            yield from section.parameters()

    def constant_parameters(self) -> set[str]:
        """Return the names of the parameters that every point has."""
        common = [section.constant_parameters() for section in self.branches.values()]
        return {self.name, *set.intersection(*common)}

    def size(self) -> int | None:
        """Return the number of different points, None if there is a continuum."""
        sizes = [section.size() for section in self.branches.values()]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None


PartSpace = SectionSpace | BranchSpace


def product(sizes: list[int | None]) -> int | None:
    """Return the product of sizes, None (a continuum) if one of them is."""
    known = [size for size in sizes if size is not None]
    return reduce(int.__mul__, known, 1) if len(known) == len(sizes) else None


def _count(node: Constant | Parameter) -> int | None:
    return 1 if isinstance(node, Constant) else node.domain.size


def _layer_count(node: PerLayer | EveryLayer, n_layers: int) -> int | None:
    if isinstance(node, PerLayer):
        return product([_count(entry) for entry in node.entries[:n_layers]])
    return _count(node.value) if n_layers else 1
