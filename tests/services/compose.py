"""Read a compose file as ``docker compose`` would: variables filled in, commands resolved."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<how>:-|:\?)(?P<word>[^}]*))?\})")


class ComposeError(ValueError):
    """``docker compose`` would refuse to start."""


def load(path: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the file's content; variables are filled in if any are given.

    Raises:
        ComposeError: A required variable is not set.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.constructor.add_constructor("!reset", _reset)
    document: dict[str, Any] = yaml.load(path.read_text())
    return document if variables is None else fill_in(document, variables)


def fill_in(value: Any, variables: Mapping[str, str]) -> Any:
    """Return ``value`` with every ``${...}`` in its texts replaced."""
    if isinstance(value, dict):
        return {key: fill_in(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_in(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def text(match: re.Match[str]) -> str:
        name, how, word = match["name"], match["how"], match["word"]
        if name is None:
            return "$"
        found = variables.get(name, "")
        if not found and how == ":?":
            raise ComposeError(f"required variable {name} is missing a value: {word}")
        return found or (word if how == ":-" else "") or ""

    return _VARIABLE.sub(text, value)


def _reset(_constructor: object, _node: ScalarNode) -> None:
    """`!reset` takes a value of the file below away."""


@dataclass(frozen=True, slots=True)
class Image:
    """What an image gives to each of its containers.

    Attributes:
        entrypoint: Put before a service's command.
        environment: Overridden by a service's own.
    """

    entrypoint: list[str]
    environment: dict[str, str]


def read_image(dockerfile: Path) -> Image:
    """Return what a Dockerfile's ENTRYPOINT and ENV lines say (exec form only)."""
    text = re.sub(r"\\\n\s*", "", dockerfile.read_text())
    entrypoint: list[str] = []
    environment: dict[str, str] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "ENTRYPOINT":
            entrypoint = json.loads(rest)
        elif word == "ENV":
            pairs = (pair.partition("=") for pair in shlex.split(rest))
            environment |= {name: value for name, _, value in pairs}
    return Image(entrypoint, environment)


def command_of(service: Mapping[str, Any], image: Image) -> list[str]:
    """Return what a container of the service runs as its first process."""
    return [*service.get("entrypoint", image.entrypoint), *service.get("command", [])]


def probe_of(service: Mapping[str, Any]) -> list[str]:
    """Return the command of the service's health check."""
    how, *words = service["healthcheck"]["test"]
    return words if how == "CMD" else ["/bin/sh", "-c", *words]
