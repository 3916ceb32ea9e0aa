"""Keep sums over finished trials with their study."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("hpsearch_studies", sa.Column("tally", sa.Text(), nullable=True))
    op.add_column(
        "hpsearch_studies",
        sa.Column("tally_revision", sa.BigInteger(), server_default="0", nullable=False),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_column("hpsearch_studies", "tally_revision")
    op.drop_column("hpsearch_studies", "tally")
