"""Reading the fields of a section that have one value per layer, and its depth."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.spec.fields import MISSING
from hpsearch.spec.kinds import FieldKind
from hpsearch.spec.nodes import (
    Constant,
    EveryLayer,
    LengthOf,
    Node,
    Parameter,
    PerLayer,
    Value,
)
from hpsearch.spec.problems import Loc, Problems
from hpsearch.spec.searchspace import encode_list
from hpsearch.spec.space import CategoricalDomain, IntDomain
from hpsearch.spec.values import WRONG, ValueReader
from hpsearch.spec.wording import show

MAX_LAYERS = 1_000  # bounds the number of parameters of a hostile definition


@dataclass(frozen=True, slots=True)
class Written:
    """What the user wrote for a field.

    Attributes:
        value: The value, as it came.
        loc: Where it stands.
        prefix: What its parameters' names begin with, ``optimizer.sgd.``.
    """

    value: Any
    loc: Loc
    prefix: str = ""


class LayerReader:
    """Reads one depth field and the per-layer fields that follow it.

    Args:
        depth: The depth field.
        kinds: The per-layer fields.
        written: What the user wrote in the section.
        problems: Takes what is wrong.
    """

    def __init__(
        self,
        depth: FieldKind,
        kinds: list[FieldKind],
        written: Mapping[str, Written],
        problems: Problems,
    ) -> None:
        self._depth = depth
        self._kinds = kinds
        self._written = written
        self._problems = problems

    def read(self) -> dict[str, Node]:
        """Return nodes for the depth and the per-layer fields, without those that are wrong."""
        whole = [kind for kind in self._kinds if self._is_whole(kind)]
        nodes: dict[str, Node] = {}
        for kind in whole:
            self._read_whole(kind, nodes)
        depth = self._read_depth(whole)
        if depth is not None:
            nodes[self._depth.name] = depth
        n_layers = self._max_layers(depth, nodes)
        for kind in self._kinds:
            if kind not in whole:
                node = self._read_field(kind, n_layers)
                if node is not None:
                    nodes[kind.name] = node
        return nodes

    def _is_whole(self, kind: FieldKind) -> bool:
        value = self._value(kind)
        options = value.get("choices") if isinstance(value, dict) else None
        return isinstance(options, list) and any(isinstance(item, list) for item in options)

    def _value(self, kind: FieldKind) -> Any:
        return self._written[kind.name].value if kind.name in self._written else None

    def _read_whole(self, kind: FieldKind, nodes: dict[str, Node]) -> None:
        """Read choices of lists: whole architectures, drawn once."""
        written = self._written[kind.name]
        reader = ValueReader(kind, self._problems)
        for key, value in written.value.items():
            if key != "choices" and not (key == "per_layer" and value is False):
                msg = "cannot stand beside choices that are lists, which are drawn as a whole"
                self._problems.add((*written.loc, key), msg, value)

        def architecture(raw: Any, loc: Loc) -> Any:
            if not isinstance(raw, list):
                msg = (
                    f"must be a list like the other choices, one entry per layer, got {show(raw)}"
                )
                self._problems.add(loc, msg, raw)
                return WRONG
            entries = [reader.constant(item, (*loc, index)) for index, item in enumerate(raw)]
            if not self._is_depth(len(raw), loc, raw) or None in entries:
                return WRONG
            return [entry.value for entry in entries if entry is not None]

        values = reader.distinct(written.value["choices"], (*written.loc, "choices"), architecture)
        if values:
            domain = CategoricalDomain(tuple(encode_list(value) for value in values))
            nodes[kind.name] = Parameter(written.prefix + kind.name, domain, holds_lists=True)

    def _is_depth(self, n_layers: int, loc: Loc, raw: Any) -> bool:
        complaint = self._depth.complaint(n_layers)
        if complaint is None and n_layers > MAX_LAYERS:
            complaint = f"must be at most {MAX_LAYERS:,}"
        if complaint is not None:
            self._problems.add(
                loc, f"has {n_layers} layers, but {self._depth.name} {complaint}", raw
            )
        return complaint is None

    def _read_depth(self, whole: list[FieldKind]) -> Node | None:
        written = self._written.get(self._depth.name)
        if whole:
            if written is not None:
                msg = f"must be left out: each choice of {whole[0].name} has its own depth"
                self._problems.add(written.loc, msg, written.value)
            for kind in whole[1:]:
                msg = f"only one field may list whole architectures; {whole[0].name} does already"
                self._problems.add(self._written[kind.name].loc, msg, self._value(kind))
            return LengthOf(whole[0].name)
        if written is None:
            return self._depth_of_lists()
        reader = ValueReader(self._depth, self._problems)
        node = reader.read(written.value, written.loc, written.prefix + self._depth.name)
        if node is not None and _highest(node) > MAX_LAYERS:
            msg = f"must be at most {MAX_LAYERS:,}, got {show(_highest(node))}"
            self._problems.add(written.loc, msg, written.value)
            return None
        return node

    def _depth_of_lists(self) -> Constant | None:
        lists = [kind for kind in self._kinds if isinstance(self._value(kind), list)]
        if not lists:
            return None if self._depth.default is MISSING else Constant(self._depth.default)
        first = self._written[lists[0].name]
        n_layers = len(first.value)
        others = [kind for kind in lists[1:] if len(self._value(kind)) != n_layers]
        for kind in others:
            other = self._written[kind.name]
            msg = (
                f"must have {n_layers} entries, one per layer as {lists[0].name}, "
                f"got {len(other.value)}; or give {self._depth.name}"
            )
            self._problems.add(other.loc, msg, other.value)
        if others or not self._is_depth(n_layers, first.loc, first.value):
            return None
        return Constant(n_layers)

    @staticmethod
    def _max_layers(depth: Node | None, nodes: Mapping[str, Node]) -> int | None:
        if isinstance(depth, Constant | Parameter):
            return _highest(depth)
        if isinstance(depth, LengthOf) and depth.field in nodes:
            source = nodes[depth.field]
            assert isinstance(source, Parameter)  # noqa: S101 - as _read_whole makes it
            assert isinstance(source.domain, CategoricalDomain)  # noqa: S101
            return max(len(json.loads(str(choice))) for choice in source.domain.choices)
        return None

    def _read_field(self, kind: FieldKind, n_layers: int | None) -> Node | None:
        written = self._written.get(kind.name)
        if written is None:
            if kind.default is MISSING:
                return None
            return EveryLayer(self._depth.name, Constant(kind.default))
        if isinstance(written.value, list):
            return self._read_list(kind, written, n_layers)
        name = written.prefix + kind.name
        value = ValueReader(kind, self._problems).read(written.value, written.loc, name)
        if value is None:
            return None
        if isinstance(value, Constant) or written.value.get("per_layer") is False:
            return EveryLayer(self._depth.name, value)
        entries = (Parameter(f"{name}[{i}]", value.domain) for i in range(n_layers or 0))
        return PerLayer(self._depth.name, tuple(entries))

    def _read_list(
        self, kind: FieldKind, written: Written, n_layers: int | None
    ) -> PerLayer | None:
        reader = ValueReader(kind, self._problems)
        entries: list[Value | None] = []
        for index, item in enumerate(written.value):
            loc = (*written.loc, index)
            if isinstance(item, dict) and "per_layer" in item:
                msg = "has no place in a list, which says what each layer gets"
                self._problems.add((*loc, "per_layer"), msg, item["per_layer"])
                continue
            entries.append(reader.read(item, loc, f"{written.prefix}{kind.name}[{index}]"))
        if n_layers is not None and len(written.value) < n_layers:
            n_entries = len(written.value)
            msg = f"must have an entry for each of up to {n_layers} layers, got {n_entries}"
            self._problems.add(written.loc, msg, written.value)
            return None
        good = [entry for entry in entries if entry is not None]
        if len(good) < len(written.value):
            return None
        return PerLayer(self._depth.name, tuple(good[:n_layers]))


def _highest(depth: Value) -> int:
    if isinstance(depth, Constant):
        return int(depth.value)
    if isinstance(depth.domain, IntDomain):
        return depth.domain.high
    return max(int(str(choice)) for choice in getattr(depth.domain, "choices", ()))
