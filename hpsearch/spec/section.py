"""Reading one section against a settings class: every field checked, every default filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.spec.fields import MISSING, Settings
from hpsearch.spec.kinds import FieldKind, fields_of
from hpsearch.spec.layers import LayerReader, Written
from hpsearch.spec.names import FieldNames
from hpsearch.spec.nodes import (
    Constant,
    EveryLayer,
    LengthOf,
    Node,
    PerLayer,
    SectionSpace,
    Subsection,
)
from hpsearch.spec.probe import report_refusals, writable_defaults
from hpsearch.spec.problems import Loc, Problems
from hpsearch.spec.values import ValueReader
from hpsearch.spec.wording import show


@dataclass(frozen=True, slots=True)
class Section:
    """A section that was read without a mistake.

    Attributes:
        space: Its points.
        document: Its fields as written, and the defaults of the others.
    """

    space: SectionSpace
    document: Mapping[str, Any]

    def settings(self) -> Settings:
        """Return the only point of a section in which nothing is searched."""
        return self.space.settings.model_validate(
            {
                field: node.value
                for field, node in self.space.fields.items()
                if isinstance(node, Constant)
            }
        )


class SectionReader:
    """Reads sections; what is wrong goes to ``problems``.

    Args:
        names: Advice about unknown fields.
        problems: Takes what is wrong.
    """

    def __init__(self, names: FieldNames, problems: Problems) -> None:
        self._names = names
        self._problems = problems

    def read_plain(
        self, raw: Any, settings: type[Settings], where: str, loc: Loc
    ) -> Section | None:
        """Return an object of a section that is the same for every trial, None if it is wrong.

        Args:
            raw: What the user wrote.
            settings: The class of the section.
            where: The section's dotted name, for messages.
            loc: Where it stands.
        """
        if not isinstance(raw, dict):
            example = ", ".join(fields_of(settings))
            msg = f"must be an object with the fields {example}, got {show(raw)}"
            self._problems.add(loc, msg, raw)
            return None
        prefix = f"{where}."
        written = {key: Written(value, (*loc, key), prefix) for key, value in raw.items()}
        return self.read(written, settings, where=where, loc=loc)

    def read(
        self,
        written: Mapping[str, Written],
        settings: type[Settings],
        *,
        where: str,
        loc: Loc,
        plugin: tuple[str, str] | None = None,
    ) -> Section | None:
        """Return a section, None if anything in it is wrong.

        Args:
            written: Its fields, without the one that names the plugin.
            settings: The class of the section.
            where: The section's dotted name, for messages.
            loc: Where it stands.
            plugin: The field that names the plugin, and the name.
        """
        calls = self._problems.n_calls
        kinds = {
            name: kind
            for name, kind in fields_of(settings).items()
            if not plugin or name != plugin[0]
        }
        self._report_unknown(written, kinds, where, plugin[1] if plugin else where)
        nodes, documents = self._nodes(written, kinds, where)
        self._report_missing(kinds, nodes, written, loc)
        if calls != self._problems.n_calls:
            return None
        if plugin is not None and plugin[0] in fields_of(settings):
            nodes = {plugin[0]: Constant(plugin[1]), **nodes}
        space = SectionSpace(settings, nodes)
        places = {field: item.loc for field, item in written.items()}
        report_refusals(space, places, loc, self._problems)
        if calls != self._problems.n_calls:
            return None
        return Section(space, self._document(space, kinds, written, documents, plugin))

    def check_fields(
        self, written: Mapping[str, Written], settings: type[Settings], where: str
    ) -> None:
        """Report what is wrong with the fields a class has, in a section that names no plugin."""
        kinds = fields_of(settings)
        known = {field: item for field, item in written.items() if field in kinds}
        self._nodes(known, kinds, where)

    def _report_unknown(
        self,
        written: Mapping[str, Written],
        kinds: Mapping[str, FieldKind],
        where: str,
        owner: str,
    ) -> None:
        for field, item in written.items():
            if field not in kinds:
                msg = self._names.advice(where, field, kinds, owner)
                self._problems.add(item.loc, msg, item.value)

    def _report_missing(
        self,
        kinds: Mapping[str, FieldKind],
        nodes: Mapping[str, Node],
        written: Mapping[str, Written],
        loc: Loc,
    ) -> None:
        for field, kind in kinds.items():
            if kind.default is MISSING and field not in nodes and field not in written:
                self._problems.add((*loc, field), f"is required: {kind.expectation}")

    def _nodes(
        self, written: Mapping[str, Written], kinds: Mapping[str, FieldKind], where: str
    ) -> tuple[dict[str, Node], dict[str, Any]]:
        documents: dict[str, Any] = {}
        nodes: dict[str, Node] = {}
        for depth, layered in _layer_groups(kinds).items():
            nodes.update(LayerReader(kinds[depth], layered, written, self._problems).read())
        handled = {
            name
            for depth, group in _layer_groups(kinds).items()
            for name in (depth, *(kind.name for kind in group))
        }
        for field, kind in kinds.items():
            if field in written and field not in handled:
                node = self._node(kind, written[field], where, documents)
                if node is not None:
                    nodes[field] = node
        order = {field: index for index, field in enumerate(kinds)}
        return dict(
            sorted(nodes.items(), key=lambda item: (_rank(item[1]), order[item[0]]))
        ), documents

    def _node(
        self, kind: FieldKind, written: Written, where: str, documents: dict[str, Any]
    ) -> Node | None:
        path = f"{where}.{kind.name}" if where else kind.name
        if kind.plugins is not None:
            return self._subsection(kind, written, path, documents)
        if kind.nested is not None and written.value is not None:
            section = self.read_plain(written.value, kind.nested, path, written.loc)
            if section is None:
                return None
            documents[kind.name] = dict(section.document)
            return Constant(documents[kind.name])
        node = ValueReader(kind, self._problems).read(
            written.value, written.loc, written.prefix + kind.name
        )
        if isinstance(node, Constant) and isinstance(written.value, dict):
            documents[kind.name] = node.value  # an object gets its own defaults
        return node

    def _subsection(
        self, kind: FieldKind, written: Written, path: str, documents: dict[str, Any]
    ) -> Subsection | None:
        from hpsearch.spec.branches import PluginReader  # which reads its sections with this class

        reader = PluginReader(
            path,
            "name",
            kind.plugins or {},
            self._names,
            self._problems,
            parameter=written.prefix + kind.name,
            default=None if kind.default is MISSING else kind.default["name"],
        )
        part = reader.read(written.value, written.loc)
        if part is None:
            return None
        documents[kind.name] = dict(part.document)
        return Subsection(part.space)

    @staticmethod
    def _document(
        space: SectionSpace,
        kinds: Mapping[str, FieldKind],
        written: Mapping[str, Written],
        documents: Mapping[str, Any],
        plugin: tuple[str, str] | None,
    ) -> dict[str, Any]:
        defaults = {
            field: kind.default
            for field, kind in kinds.items()
            if field not in written and field not in space.fields and kind.default is not MISSING
        }
        defaults = writable_defaults(space, defaults)
        document: dict[str, Any] = dict([plugin]) if plugin else {}
        for field, kind in kinds.items():
            node = space.fields.get(field)
            if field in written:
                document[field] = documents.get(field, written[field].value)
            elif field in defaults:
                document[field] = defaults[field]
            elif isinstance(node, Constant):
                document[field] = node.value
            elif isinstance(node, EveryLayer):
                document[field] = kind.default
        return document


def _layer_groups(kinds: Mapping[str, FieldKind]) -> dict[str, list[FieldKind]]:
    groups: dict[str, list[FieldKind]] = {}
    for kind in kinds.values():
        if kind.searchable is not None and kind.searchable.per_layer is not None:
            groups.setdefault(kind.searchable.per_layer, []).append(kind)
    return groups


def _rank(node: Node) -> int:
    """Return 0 for values, 1 for depths taken from them, 2 for what follows a depth."""
    return 2 if isinstance(node, PerLayer | EveryLayer) else 1 if isinstance(node, LengthOf) else 0
