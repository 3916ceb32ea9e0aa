"""Plugins by name: a room is scanned, then installed entry points join."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from hpsearch.errors import BrokenInvariant

P = TypeVar("P", bound=type[Any])


class Registry(Mapping[str, type[Any]]):
    """The plugins of one room, filled at the first look.

    Every module of the room's package is imported, then every entry point of the group of the
    same name (``hpsearch.models``), so that no list is edited to add a plugin.

    Args:
        room: Dotted name of the package, also the entry-point group.
    """

    def __init__(self, room: str) -> None:
        self._room = room
        self._classes: dict[str, type[Any]] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[P], P]:
        """Return a class decorator that makes the class known under ``name``.

        Raises:
            BrokenInvariant: Another class has the name.
        """

        def remember(cls: P) -> P:
            known = self._classes.setdefault(name, cls)
            if known.__qualname__ != cls.__qualname__ or known.__module__ != cls.__module__:
                raise BrokenInvariant(f"two plugins of {self._room} are called {name!r}")
            return cls

        return remember

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self._room)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._room}.{module.name}")
        for entry_point in entry_points(group=self._room):
            entry_point.load()

    def __getitem__(self, name: str) -> type[Any]:
        self._load()
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._classes))

    def __len__(self) -> int:
        self._load()
        return len(self._classes)
