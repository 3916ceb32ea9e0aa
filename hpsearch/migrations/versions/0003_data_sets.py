"""Remember uploaded data sets, confusion matrices, and whom to tell that a study has ended."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "hpsearch_datasets",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=36), nullable=False),
        sa.Column("info", sa.Text(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("asked_target", sa.Text(), nullable=True),
        sa.Column("asked_task", sa.String(length=16), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hpsearch_datasets")),
        sa.UniqueConstraint("key", name=op.f("uq_hpsearch_datasets_key")),
    )
    # SQLite can add a column with its constraint, but no constraint afterwards
    op.execute(
        "ALTER TABLE hpsearch_studies ADD COLUMN dataset_name VARCHAR(63) "
        "CONSTRAINT fk_hpsearch_studies_dataset_name REFERENCES hpsearch_datasets (name)"
    )
    op.create_index("ix_hpsearch_studies_dataset_name", "hpsearch_studies", ["dataset_name"])
    op.add_column("hpsearch_studies", sa.Column("dataset", sa.Text(), nullable=True))
    op.add_column("hpsearch_trials", sa.Column("confusion", sa.Text(), nullable=True))
    op.create_table(
        "hpsearch_notices",
        sa.Column("study_uuid", sa.String(length=36), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=False),
        sa.Column("n_tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("study_uuid", "finished_at", name=op.f("pk_hpsearch_notices")),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("hpsearch_notices")
    op.drop_column("hpsearch_trials", "confusion")
    op.drop_column("hpsearch_studies", "dataset")
    op.drop_index("ix_hpsearch_studies_dataset_name", "hpsearch_studies")
    with op.batch_alter_table("hpsearch_studies") as batch:
        batch.drop_column("dataset_name")
    op.drop_table("hpsearch_datasets")
