"""Run our migrations on the connection that ``hpsearch.storage.schema`` hands over."""

from typing import Any

from alembic import context

from hpsearch.storage.tables import PREFIX, VERSION_TABLE, metadata


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Return whether a table is ours to compare; Optuna's are left alone."""
    return kind != "table" or (name is not None and name.startswith(PREFIX))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=include_name,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
