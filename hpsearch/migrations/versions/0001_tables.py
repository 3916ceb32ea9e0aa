"""Create the tables of studies, trials, attempts, epochs, workers, tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "hpsearch_studies",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason", sa.String(length=32), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("next_sample_index", sa.BigInteger(), nullable=False),
        sa.Column("device_seconds", sa.Float(), nullable=False),
        sa.Column("virtual_time", sa.Float(), nullable=False),
        sa.Column("active_since", sa.DateTime(), nullable=True),
        sa.Column("active_s", sa.Float(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("idempotency_sha256", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.study_id"], name=op.f("fk_hpsearch_studies_study_id")
        ),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_hpsearch_studies")),
        sa.UniqueConstraint("name", name=op.f("uq_hpsearch_studies_name")),
        sa.UniqueConstraint(
            "owner", "idempotency_key", name=op.f("uq_hpsearch_studies_owner_idempotency_key")
        ),
        sa.UniqueConstraint("uuid", name=op.f("uq_hpsearch_studies_uuid")),
    )
    op.create_index("ix_hpsearch_studies_state", "hpsearch_studies", ["state"], unique=False)

    op.create_table(
        "hpsearch_tokens",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_hpsearch_tokens")),
        sa.UniqueConstraint("name", name=op.f("uq_hpsearch_tokens_name")),
    )
    op.create_table(
        "hpsearch_workers",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("study_uuid", sa.String(length=36), nullable=True),
        sa.Column("n_lanes", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hpsearch_workers")),
    )
    op.create_index(
        "ix_hpsearch_workers_last_seen_at", "hpsearch_workers", ["last_seen_at"], unique=False
    )

    op.create_table(
        "hpsearch_attempts",
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("trial_number", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("claim_id", sa.String(length=36), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("worker", sa.String(length=255), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("precision", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("device_seconds", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["hpsearch_studies.study_id"], name=op.f("fk_hpsearch_attempts_study_id")
        ),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.trial_id"], name=op.f("fk_hpsearch_attempts_trial_id")
        ),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_hpsearch_attempts")),
        sa.UniqueConstraint("token", name=op.f("uq_hpsearch_attempts_token")),
        sa.UniqueConstraint(
            "trial_id", "number", name=op.f("uq_hpsearch_attempts_trial_id_number")
        ),
    )
    op.create_index(
        "ix_hpsearch_attempts_claim_id", "hpsearch_attempts", ["claim_id"], unique=False
    )
    op.create_index(
        "ix_hpsearch_attempts_state_lease_expires_at",
        "hpsearch_attempts",
        ["state", "lease_expires_at"],
        unique=False,
    )
    op.create_index(
        "ix_hpsearch_attempts_study_id_state",
        "hpsearch_attempts",
        ["study_id", "state"],
        unique=False,
    )
    op.create_index("ix_hpsearch_attempts_worker", "hpsearch_attempts", ["worker"], unique=False)

    op.create_table(
        "hpsearch_epochs",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["hpsearch_studies.study_id"], name=op.f("fk_hpsearch_epochs_study_id")
        ),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.trial_id"], name=op.f("fk_hpsearch_epochs_trial_id")
        ),
        sa.PrimaryKeyConstraint("trial_id", "epoch", name=op.f("pk_hpsearch_epochs")),
    )
    op.create_index(
        "ix_hpsearch_epochs_study_id_revision",
        "hpsearch_epochs",
        ["study_id", "revision"],
        unique=False,
    )

    op.create_table(
        "hpsearch_trials",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("sample_index", sa.BigInteger(), nullable=True),
        sa.Column("has_params", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_counted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("n_attempts", sa.Integer(), nullable=False),
        sa.Column("n_losses", sa.Integer(), nullable=False),
        sa.Column("planned_epochs", sa.Integer(), nullable=True),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("best_epoch", sa.Integer(), nullable=True),
        sa.Column("stopped_early", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("n_parameters", sa.BigInteger(), nullable=True),
        sa.Column("device_seconds", sa.Float(), nullable=False),
        sa.Column("running_s", sa.Float(), nullable=False),
        sa.Column("test", sa.Text(), nullable=True),
        sa.Column("failure_kind", sa.String(length=16), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("pruned", sa.Text(), nullable=True),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["hpsearch_studies.study_id"], name=op.f("fk_hpsearch_trials_study_id")
        ),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.trial_id"], name=op.f("fk_hpsearch_trials_trial_id")
        ),
        sa.PrimaryKeyConstraint("trial_id", name=op.f("pk_hpsearch_trials")),
        sa.UniqueConstraint("study_id", "number", name=op.f("uq_hpsearch_trials_study_id_number")),
    )
    op.create_index(
        "ix_hpsearch_trials_study_id_is_counted",
        "hpsearch_trials",
        ["study_id", "is_counted"],
        unique=False,
    )
    op.create_index(
        "ix_hpsearch_trials_study_id_revision",
        "hpsearch_trials",
        ["study_id", "revision"],
        unique=False,
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("ix_hpsearch_trials_study_id_revision", table_name="hpsearch_trials")
    op.drop_index("ix_hpsearch_trials_study_id_is_counted", table_name="hpsearch_trials")

    op.drop_table("hpsearch_trials")
    op.drop_index("ix_hpsearch_epochs_study_id_revision", table_name="hpsearch_epochs")

    op.drop_table("hpsearch_epochs")
    op.drop_index("ix_hpsearch_attempts_worker", table_name="hpsearch_attempts")
    op.drop_index("ix_hpsearch_attempts_study_id_state", table_name="hpsearch_attempts")
    op.drop_index("ix_hpsearch_attempts_state_lease_expires_at", table_name="hpsearch_attempts")
    op.drop_index("ix_hpsearch_attempts_claim_id", table_name="hpsearch_attempts")

    op.drop_table("hpsearch_attempts")
    op.drop_index("ix_hpsearch_workers_last_seen_at", table_name="hpsearch_workers")

    op.drop_table("hpsearch_workers")
    op.drop_table("hpsearch_tokens")
    op.drop_index("ix_hpsearch_studies_state", table_name="hpsearch_studies")

    op.drop_table("hpsearch_studies")
