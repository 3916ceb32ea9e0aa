"""Keep what a study's preflight found, and until when a worker may be at it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("hpsearch_studies", sa.Column("preflight", sa.Text(), nullable=True))
    op.add_column("hpsearch_studies", sa.Column("preflight_until", sa.DateTime(), nullable=True))


def downgrade() -> None:
    """Take the change back."""
    op.drop_column("hpsearch_studies", "preflight_until")
    op.drop_column("hpsearch_studies", "preflight")
