"""Remember suspicion after a death, the shares of owners, and what users ask of trials."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    owners = op.create_table(
        "hpsearch_owners",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("virtual_time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hpsearch_owners")),
    )
    known = sa.table("hpsearch_studies", sa.column("owner", sa.String()))
    op.execute(
        owners.insert().from_select(
            ["name", "virtual_time"], sa.select(known.c.owner, sa.literal(0.0)).distinct()
        )
    )
    op.add_column(
        "hpsearch_attempts",
        sa.Column("pack_size", sa.Integer(), server_default="1", nullable=False),
    )
    for column in (
        sa.Column("pack_limit", sa.Integer(), nullable=True),
        sa.Column("cleared_after", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_asked_to_stop", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("request_key", sa.String(length=255), nullable=True),
    ):
        op.add_column("hpsearch_trials", column)


def downgrade() -> None:
    """Take the change back."""
    for column in ("request_key", "is_asked_to_stop", "cleared_after", "pack_limit"):
        op.drop_column("hpsearch_trials", column)
    op.drop_column("hpsearch_attempts", "pack_size")
    op.drop_table("hpsearch_owners")
