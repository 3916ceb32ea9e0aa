"""Our tables, and Optuna's by name; one database holds both.

Optuna's tables belong to Optuna: their classes are taken from its RDB storage, never redefined.
Ours carry the prefix ``hpsearch_`` and are created by the migrations alone.
"""

from optuna.storages._rdb import models as optuna_models
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from hpsearch.storage.types import Json, Metrics, UtcDateTime

PREFIX = "hpsearch_"
VERSION_TABLE = "hpsearch_alembic_version"

optuna_studies: Table = optuna_models.StudyModel.__table__
optuna_directions: Table = optuna_models.StudyDirectionModel.__table__
optuna_study_user_attrs: Table = optuna_models.StudyUserAttributeModel.__table__
optuna_study_system_attrs: Table = optuna_models.StudySystemAttributeModel.__table__
optuna_trials: Table = optuna_models.TrialModel.__table__
optuna_params: Table = optuna_models.TrialParamModel.__table__
optuna_values: Table = optuna_models.TrialValueModel.__table__
optuna_intermediate: Table = optuna_models.TrialIntermediateValueModel.__table__
optuna_user_attrs: Table = optuna_models.TrialUserAttributeModel.__table__
optuna_system_attrs: Table = optuna_models.TrialSystemAttributeModel.__table__
optuna_heartbeats: Table = optuna_models.TrialHeartbeatModel.__table__

TRIAL_CHILDREN: tuple[Table, ...] = (
    optuna_params,
    optuna_values,
    optuna_intermediate,
    optuna_user_attrs,
    optuna_system_attrs,
    optuna_heartbeats,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

datasets = Table(
    "hpsearch_datasets",
    metadata,
    Column("name", String(63), primary_key=True),
    # names the folder of its arrays; another upload of the name never finds old ones
    Column("key", String(36), nullable=False, unique=True),
    Column("info", Json, nullable=False),
    Column("columns", Json, nullable=False),
    Column("warnings", Json, nullable=False),
    Column("media_type", String(64), nullable=False),
    # of the file as it came
    Column("sha256", String(64), nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("asked_target", Text),
    Column("asked_task", String(16)),
    Column("owner", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

studies = Table(
    "hpsearch_studies",
    metadata,
    # the id of Optuna's row; locking that row locks the study
    Column("study_id", Integer, ForeignKey(optuna_studies.c.study_id), primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("definition", Json, nullable=False),
    Column("warnings", Json, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("state_reason", String(32)),
    Column("owner", String(64), nullable=False),
    # every writing verb raises it by one and stamps it on the trials and epochs it wrote
    Column("revision", BigInteger, nullable=False),
    Column("next_sample_index", BigInteger, nullable=False),
    Column("device_seconds", Float, nullable=False),
    # device-seconds divided by weight, from the start a newcomer was given
    Column("virtual_time", Float, nullable=False),
    Column("active_since", UtcDateTime),
    Column("active_s", Float, nullable=False),
    Column("idempotency_key", String(255)),
    Column("idempotency_sha256", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    # an uploaded data set: the reference keeps it from being deleted, the facts never change
    Column("dataset_name", String(63), ForeignKey(datasets.c.name), index=True),
    Column("dataset", Json),
    # what the preflight found; until then, when the worker at it is given up
    Column("preflight", Json),
    Column("preflight_until", UtcDateTime),
    # sums over the trials that had finished by a revision
    Column("tally", Json),
    Column("tally_revision", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("owner", "idempotency_key"),
)

owners = Table(
    "hpsearch_owners",
    metadata,
    Column("name", String(64), primary_key=True),
    # device-seconds of all their studies, from the start a newcomer was given
    Column("virtual_time", Float, nullable=False),
)

trials = Table(
    "hpsearch_trials",
    metadata,
    Column("trial_id", Integer, ForeignKey(optuna_trials.c.trial_id), primary_key=True),
    Column("study_id", Integer, ForeignKey(studies.c.study_id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("origin", String(16), nullable=False),
    Column("sample_index", BigInteger),
    Column("has_params", Boolean, nullable=False, server_default=false()),
    # whether it counts towards max_trials: finished, and not cancelled
    Column("is_counted", Boolean, nullable=False, server_default=false()),
    Column("n_attempts", Integer, nullable=False),
    Column("n_losses", Integer, nullable=False),
    Column("planned_epochs", Integer),
    Column("epochs", Integer, nullable=False),
    Column("best_epoch", Integer),
    Column("stopped_early", Boolean, nullable=False, server_default=false()),
    Column("n_parameters", BigInteger),
    Column("device_seconds", Float, nullable=False),
    # seconds RUNNING in attempts that are over
    Column("running_s", Float, nullable=False),
    Column("test", Metrics),
    # examples of the test split by true and by predicted class
    Column("confusion", Json),
    Column("failure_kind", String(16)),
    Column("failure_message", Text),
    Column("pruned", Json),
    # {"path", "epoch"}: where an attempt may go on from
    Column("checkpoint", Json),
    # a suspect's worker died under it: it runs in company of at most so many, suspects all
    Column("pack_limit", Integer),
    # the epoch it had recorded then; a later one clears it
    Column("cleared_after", Integer, nullable=False, server_default="0"),
    # ends as COMPLETE at its next epoch
    Column("is_asked_to_stop", Boolean, nullable=False, server_default=false()),
    # Idempotency-Key of the request that made it
    Column("request_key", String(255)),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("study_id", "number"),
    Index(None, "study_id", "revision"),
    Index(None, "study_id", "is_counted"),
)

attempts = Table(
    "hpsearch_attempts",
    metadata,
    Column("attempt_id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey(studies.c.study_id), nullable=False),
    Column("trial_id", Integer, ForeignKey(optuna_trials.c.trial_id), nullable=False),
    Column("trial_number", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("claim_id", String(36), nullable=False, index=True),
    # the fence: a report with another token changes nothing
    Column("token", String(32), nullable=False, unique=True),
    Column("worker", String(255), nullable=False, index=True),
    Column("device", String(64), nullable=False),
    Column("precision", String(16), nullable=False),
    # attempts of this worker when one last came or ended: its companions in death
    Column("pack_size", Integer, nullable=False, server_default="1"),
    Column("state", String(16), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("lease_expires_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("device_seconds", Float, nullable=False),
    UniqueConstraint("trial_id", "number"),
    Index(None, "study_id", "state"),
    Index(None, "state", "lease_expires_at"),
)

epochs = Table(
    "hpsearch_epochs",
    metadata,
    Column("trial_id", Integer, ForeignKey(optuna_trials.c.trial_id), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey(studies.c.study_id), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("metrics", Metrics, nullable=False),
    Index(None, "study_id", "revision"),
)

workers = Table(
    "hpsearch_workers",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("device", String(64), nullable=False),
    Column("study_uuid", String(36)),
    Column("n_lanes", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False, index=True),
)

tokens = Table(
    "hpsearch_tokens",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

notices = Table(
    "hpsearch_notices",
    metadata,
    # one for each end of a study: one that goes on ends again
    Column("study_uuid", String(36), primary_key=True),
    Column("finished_at", UtcDateTime, primary_key=True),
    Column("n_tries", Integer, nullable=False),
    # when to try again; null: it was sent, or given up
    Column("next_try_at", UtcDateTime),
)
