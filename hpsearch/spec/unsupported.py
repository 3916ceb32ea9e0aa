"""What the contract names and this version cannot do yet: the one table of it.

A field or a plugin that exists works, whatever is written here: the table is looked at only
when a name is unknown to the catalog. Removing a line, or adding the plugin, switches the thing
on.
"""

NOT_YET: frozenset[str] = frozenset()
"""``section.field`` or ``section.field=value``."""

HINTS = {
    "optimizer.weight_decay": "weight_decay belongs to adamw alone; use l2 here",
}
"""Better advice than the nearest name, for fields that are unknown where they stand."""


def is_unsupported(path: str, value: object = None) -> bool:
    """Return whether the contract knows ``section.field``, or that value of it, and we do not."""
    if value is None:
        return path in NOT_YET
    return isinstance(value, str) and f"{path}={value}" in NOT_YET
