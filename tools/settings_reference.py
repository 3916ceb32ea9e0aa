"""Write docs/reference/settings.md from the class that reads the settings.

.venv/bin/python tools/settings_reference.py
"""

from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hpsearch.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
HEAD = """\
# Settings

<!-- Written by tools/settings_reference.py (`make docs`); do not edit. -->

How a process runs is read once, at its start, from environment variables and from a file `.env`
in the directory it is started in; the environment wins. Where no default is shown, an empty value
counts as not set.

| variable | type | default | meaning |
|---|---|---|---|
"""


def reference() -> str:
    """Return the page's text."""
    prefix = str(Settings.model_config["env_prefix"])
    rows = [
        f"| `{prefix}{name.upper()}` | {type_of(field)} | {default_of(field)} "
        f"| {meaning_of(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return HEAD + "\n".join(rows) + "\n"


def type_of(field: FieldInfo) -> str:
    """Return the type of a setting in a reader's words."""
    members = [member for member in get_args(field.annotation) if member is not type(None)]
    if members and all(isinstance(member, str) for member in members):
        return " \\| ".join(f"`{member}`" for member in members)
    kind: Any = members[0] if members else field.annotation
    words = {"SecretStr": "text, secret", "str": "text", "Path": "path", "int": "integer"}
    return words.get(kind.__name__, "number")


def default_of(field: FieldInfo) -> str:
    """Return the default of a setting as one would write it."""
    if field.default is PydanticUndefined:
        return "the platform's user data folder"
    return "" if field.default is None else f"`{field.default}`"


def meaning_of(field: FieldInfo) -> str:
    """Return the description of a setting, fit for a table's cell."""
    return (field.description or "").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(reference())
