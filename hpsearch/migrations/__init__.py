"""Schema migrations of our tables, run by Alembic."""
