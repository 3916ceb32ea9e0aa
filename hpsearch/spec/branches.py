"""Reading a section that names a plugin, alone or as branches: ``choices`` of objects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.spec.fields import Settings
from hpsearch.spec.kinds import fields_of
from hpsearch.spec.layers import Written
from hpsearch.spec.names import FieldNames
from hpsearch.spec.nodes import BranchSpace, PartSpace
from hpsearch.spec.problems import Loc, Problems
from hpsearch.spec.section import Section, SectionReader
from hpsearch.spec.space import Domain
from hpsearch.spec.unsupported import is_unsupported
from hpsearch.spec.values import MAX_CHOICES
from hpsearch.spec.wording import listed, nearest, show

LABEL = re.compile(r"[a-z0-9_]{1,32}")


@dataclass(frozen=True, slots=True)
class Part:
    """A section of the search space that was read without a mistake.

    Attributes:
        space: Its points.
        document: What the user wrote, and every default.
    """

    space: PartSpace
    document: Mapping[str, Any]


class PluginReader:
    """Reads one section that names a plugin; what is wrong goes to ``problems``.

    Args:
        where: The section, ``optimizer``.
        key: The field that names the plugin, ``name``.
        plugins: The classes there are.
        names: Advice about unknown fields.
        problems: Takes what is wrong.
        parameter: What its parameters' names begin with, if that is not ``where``.
        default: The plugin of a section that names none; None where it has to be named.
    """

    def __init__(
        self,
        where: str,
        key: str,
        plugins: Mapping[str, type[Settings]],
        names: FieldNames,
        problems: Problems,
        parameter: str | None = None,
        default: str | None = None,
    ) -> None:
        self._where = where
        self._parameter = parameter or where
        self._default = default
        self._key = key
        self._plugins = plugins
        self._problems = problems
        self._reader = SectionReader(names, problems)

    def read(self, raw: Any, loc: Loc) -> Part | None:
        """Return the section with its branches, if it has any; None if something is wrong."""
        if isinstance(raw, dict) and "choices" in raw:
            return self._branches(raw, loc)
        section = self.read_one(raw, loc)
        return None if section is None else Part(section.space, section.document)

    def read_one(self, raw: Any, loc: Loc) -> Section | None:
        """Return the section of a single plugin, None if something is wrong."""
        if not isinstance(raw, dict):
            self._problems.add(loc, f"must be {self._example(raw)}, got {show(raw)}", raw)
            return None
        prefix = f"{self._parameter}."
        written = {key: Written(item, (*loc, key), prefix) for key, item in raw.items()}
        if "choices" in written:
            msg = f"there is one {self._where} for the whole study; write {self._example()}"
            self._problems.add((*loc, "choices"), msg, raw["choices"])
            return None
        if "label" in written:
            self._problems.add(
                (*loc, "label"), "belongs into a branch, inside choices", raw["label"]
            )
            del written["label"]
        return self._section(written, loc, self._default)

    def _example(self, raw: Any = None) -> str:
        is_name = isinstance(raw, str) and raw in self._plugins
        name = raw if is_name else next(iter(self._plugins), "...")
        return f"an object such as {{{self._key}: {name}}}"

    def _section(
        self, written: Mapping[str, Written], loc: Loc, default: str | None = None
    ) -> Section | None:
        fields = {field: item for field, item in written.items() if field != self._key}
        name = self._plugin_name(written.get(self._key), loc, default)
        if name is not None:
            settings = self._plugins[name]
            plugin = (self._key, name)
            return self._reader.read(fields, settings, where=self._where, loc=loc, plugin=plugin)
        given = written.get(self._key)
        path = f"{self._where}.{self._key}"
        if self._plugins and not (given and is_unsupported(path, given.value)):
            self._reader.check_fields(fields, self._likeliest(fields), self._where)
        return None

    def _likeliest(self, fields: Mapping[str, Written]) -> type[Settings]:
        """Return the plugin with most of the fields, to check them when none is named."""
        plugins = self._plugins.values()
        return max(plugins, key=lambda settings: len(fields_of(settings).keys() & fields.keys()))

    def _plugin_name(self, written: Written | None, loc: Loc, default: str | None) -> str | None:
        """Return the plugin to read the fields with; a misspelt name is reported and guessed."""
        if written is None and default in self._plugins:
            return default
        if written is None:
            msg = f"is required: {listed(self._plugins)}"
            self._problems.add((*loc, self._key), msg)
            return next(iter(self._plugins)) if len(self._plugins) == 1 else None
        name = written.value
        if not isinstance(name, str):
            self._problems.add(written.loc, self._name_complaint(name), name)
            return None
        if name not in self._plugins:
            msg = FieldNames.plugin_advice(self._where, self._key, name, self._plugins)
            self._problems.add(written.loc, msg, name)
            return nearest(name, self._plugins) if "not yet supported" not in msg else None
        return name

    def _name_complaint(self, name: Any) -> str:
        options = name.get("choices") if isinstance(name, dict) else name
        if not isinstance(options, list):
            return f"must be {listed(self._plugins)}, got {show(name)}"
        branches = ", ".join(f"{{{self._key}: {option}, ...}}" for option in options[:3])
        return (
            f"takes no choices itself; write {self._where}: "
            f"{{choices: [{branches}]}}, each branch with fields of its own"
        )

    def _branches(self, raw: dict[str, Any], loc: Loc) -> Part | None:
        calls = self._problems.n_calls
        common = self._common(raw, loc)
        sections: dict[str, Section] = {}
        labels: list[str | None] = []
        for index, branch in enumerate(self._branch_list(raw["choices"], (*loc, "choices"))):
            place = (*loc, "choices", index)
            section, label = self._branch(branch, common, place, sections)
            labels.append(branch.get("label") if isinstance(branch, dict) else None)
            if section is not None and label is not None:
                sections[label] = section
        if calls != self._problems.n_calls:
            return None
        self._check_common(sections, common)
        if calls != self._problems.n_calls:
            return None
        space = BranchSpace(
            self._parameter, {label: item.space for label, item in sections.items()}
        )
        return Part(space, self._document(sections, common, labels))

    def _common(self, raw: dict[str, Any], loc: Loc) -> dict[str, Written]:
        common = {}
        for key, item in raw.items():
            if key in {self._key, "label"}:
                msg = "belongs into the branches: beside choices stands what all of them share"
                self._problems.add((*loc, key), msg, item)
            elif key != "choices":
                common[key] = Written(item, (*loc, key), f"{self._parameter}.")
        return common

    def _branch_list(self, raw: Any, loc: Loc) -> list[Any]:
        if not isinstance(raw, list) or not raw:
            msg = f"must be a list of at least one branch, {self._example()}, got {show(raw)}"
            self._problems.add(loc, msg, raw)
            return []
        if len(raw) > MAX_CHOICES:
            msg = f"must have at most {MAX_CHOICES:,} choices, got {len(raw):,}"
            self._problems.add(loc, msg, raw)
            return []
        return raw

    def _branch(
        self, raw: Any, common: Mapping[str, Written], loc: Loc, earlier: Mapping[str, Section]
    ) -> tuple[Section | None, str | None]:
        if not isinstance(raw, dict):
            self._problems.add(loc, f"must be {self._example(raw)}, got {show(raw)}", raw)
            return None, None
        if "choices" in raw:
            msg = "a branch has no branches of its own; list every case beside the others"
            self._problems.add((*loc, "choices"), msg, raw["choices"])
        label = self._label(raw, loc, earlier)
        own = {
            key: Written(item, (*loc, key), f"{self._parameter}.{label}.")
            for key, item in raw.items()
            if key not in {"label", "choices"}
        }
        for key in own.keys() & common.keys():
            msg = "is set beside choices already, for all branches; set it in one place"
            self._problems.add((*loc, key), msg, raw[key])
        return self._section({**common, **own}, loc), label

    def _label(self, raw: dict[str, Any], loc: Loc, earlier: Mapping[str, Section]) -> str | None:
        label = raw.get("label", raw.get(self._key))
        if "label" in raw and not (isinstance(label, str) and LABEL.fullmatch(label)):
            msg = f"must be 1 to 32 of a-z, 0-9 and _, got {show(label)}"
            self._problems.add((*loc, "label"), msg, label)
            return None
        if not isinstance(label, str):
            return None
        if label in earlier:
            place = (*loc, "label") if "label" in raw else loc
            msg = f"two branches are called {label}; give each a label, label: {label[:30]}_2"
            self._problems.add(place, msg, label)
        return label

    def _check_common(
        self, sections: Mapping[str, Section], common: Mapping[str, Written]
    ) -> None:
        """Refuse a common field that means one thing here and another there."""
        domains: dict[str, Domain] = {}
        for label, section in sections.items():
            for parameter in section.space.parameters():
                known = domains.setdefault(parameter.name, parameter.domain)
                if known != parameter.domain:
                    own_name = parameter.name.removeprefix(f"{self._parameter}.")
                    field = re.split(r"[.\[]", own_name)[0]
                    msg = f"means something else in branch {label}; set it inside each branch"
                    self._problems.add(common[field].loc, msg, common[field].value)

    def _document(
        self,
        sections: Mapping[str, Section],
        common: Mapping[str, Written],
        labels: list[str | None],
    ) -> dict[str, Any]:
        branches = []
        for section, label in zip(sections.values(), labels, strict=True):
            fields = {key: item for key, item in section.document.items() if key not in common}
            name = fields.pop(self._key)
            branches.append(
                {self._key: name, **({"label": label} if label is not None else {}), **fields}
            )
        first = next(iter(sections.values()))
        shared = {key: first.document[key] for key in first.document if key in common}
        return {**shared, "choices": branches}
