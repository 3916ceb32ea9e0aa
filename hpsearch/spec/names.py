"""What to say of a field nobody knows: the name that was meant, or where it belongs."""

from collections.abc import Iterable, Mapping

from hpsearch.spec.catalog import Catalog
from hpsearch.spec.fields import Settings
from hpsearch.spec.kinds import fields_of
from hpsearch.spec.sections import (
    DatasetSection,
    EarlyStopping,
    Execution,
    Heading,
    Limits,
    Training,
    WarmStart,
)
from hpsearch.spec.unsupported import HINTS, is_unsupported
from hpsearch.spec.wording import SYNONYMS, listed, nearest

MAX_SEARCHED = 100  # unknown fields that are compared with the known ones; bounds the work


class FieldNames:
    """The field names of every section a catalog makes possible."""

    def __init__(self, catalog: Catalog) -> None:
        self._homes: dict[str, list[str]] = {}
        self._n_searched = 0
        for section, settings in (
            ("the definition", Heading),
            ("warm_start", WarmStart),
            ("dataset", DatasetSection),
            ("training", Training),
            ("training.early_stopping", EarlyStopping),
            ("limits", Limits),
            ("execution", Execution),
        ):
            for field in fields_of(settings):
                self._homes.setdefault(field, []).append(section)
        self._add_plugins("model", catalog.families)
        self._add_plugins("optimizer", catalog.optimizers)
        self._add_plugins("sampler", catalog.samplers)
        self._add_plugins("pruner", catalog.pruners)

    def _add_plugins(self, section: str, plugins: Mapping[str, type[Settings]]) -> None:
        owners: dict[str, list[str]] = {}
        for name, settings in plugins.items():
            for field in fields_of(settings):
                owners.setdefault(field, []).append(f"{section} {name}")
        nested = {
            field: kind.plugins
            for settings in plugins.values()
            for field, kind in fields_of(settings).items()
            if kind.plugins
        }
        for field, inner in nested.items():
            self._add_plugins(f"{section}.{field}", inner)
        for field, names in owners.items():
            if field not in {"name", "family"}:
                everywhere = len(names) == len(plugins) > 1
                self._homes.setdefault(field, []).extend([section] if everywhere else names)

    def advice(self, where: str, field: str, known: Iterable[str], owner: str) -> str:
        """Return the message about an unknown field.

        Args:
            where: The section it stands in, dotted; empty at the top.
            field: Its name.
            known: The fields that could stand there.
            owner: Whose fields these are, ``sgd`` or ``training``.
        """
        path = f"{where}.{field}" if where else field
        if is_unsupported(path):
            return "not yet supported"
        names = list(known)
        self._n_searched += 1
        meant = nearest(field, names) if self._n_searched <= MAX_SEARCHED else None
        homes = self._other_homes(field, where)
        synonym = SYNONYMS.get(field.lower(), "")
        if path in HINTS:
            hint = f"; {HINTS[path]}"
        elif homes and field != "name":
            hint = f"; {field} belongs to {listed(homes)}"
        elif meant is not None:
            hint = f"; did you mean {meant}?"
        elif self._other_homes(synonym, where):
            hint = f"; did you mean {synonym}, in {listed(self._other_homes(synonym, where))}?"
        else:
            hint = f"; {owner} has {', '.join(names)}" if names else f"; {owner} has no fields"
        return f"unknown field{hint}"

    def _other_homes(self, field: str, where: str) -> list[str]:
        return [home for home in self._homes.get(field, ()) if home != where]

    @staticmethod
    def plugin_advice(where: str, key: str, name: str, known: Iterable[str]) -> str:
        """Return the message about an unknown plugin name.

        Args:
            where: The section, ``optimizer``.
            key: The field that names the plugin, ``name``.
            name: What the user wrote.
            known: The names there are.
        """
        if is_unsupported(f"{where}.{key}", name):
            return f"{name} is not yet supported; choose {listed(known)}"
        meant = nearest(name, known)
        hint = f"did you mean {meant}?" if meant else f"there is {listed(known)}"
        return f"there is no {where} {name!r:.60}; {hint}"
