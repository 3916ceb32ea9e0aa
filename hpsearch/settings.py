"""How a process runs: the environment, read once at each entry point."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hpsearch.errors import InvalidSettings

_LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107, Redis adds a suffix while it binds


class Settings(BaseSettings):
    """Settings of one process, from ``HPSEARCH_*`` variables and ``.env``.

    Values that may hold secrets are :class:`~pydantic.SecretStr`, so that printing or logging
    the settings never shows them.
    """

    model_config = SettingsConfigDict(
        env_prefix="HPSEARCH_", env_file=".env", extra="ignore", frozen=True
    )

    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("hpsearch", appauthor=False),
        description="where the embedded database, the token and the artifacts live",
    )
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; default: SQLite in the data folder"
    )
    redis_url: SecretStr | None = Field(
        None, description="default: start the bundled server on a socket in the data folder"
    )
    datasets_dir: Path | None = Field(None, description="default: `datasets` in the data folder")
    artifacts_url: str | None = Field(
        None, description="file:// URL; default: `artifacts` in the data folder"
    )
    host: str = Field("127.0.0.1", description="address the API listens on")
    port: int | None = Field(
        None, ge=0, le=65_535, description="port of the API; default 8000 or the next free one"
    )
    token: SecretStr | None = Field(None, description="admin token; default: made at first start")
    url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="server the command line and the client talk to; default: the one running "
        "on the data folder",
    )
    devices: str = Field(
        "auto",
        pattern=r"^(auto|cpu(:\d+)?|cuda(:\d+(,\d+)*)?)$",
        description="auto, cpu:N (N trainers) or cuda:0,1",
    )
    lease_s: float = Field(30.0, gt=0, le=3600, description="life of a lease without renewal, s")
    turn_s: float = Field(60.0, gt=0, le=86_400, description="time slice of a turn, s")
    checkpoint_s: float = Field(
        60.0, gt=0, le=86_400, description="time between two checkpoints of running trials, s"
    )
    max_dataset_mb: int = Field(1024, ge=1, description="largest data set upload, MB")
    max_definition_kb: int = Field(1024, ge=1, description="largest study definition, kB")
    webhook_url: SecretStr | None = Field(
        None, description="http(s) address that gets a POST when a study has ended"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="lowest level that is logged"
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="console for people, json for collectors"
    )

    @field_validator(
        "database_url",
        "redis_url",
        "datasets_dir",
        "artifacts_url",
        "port",
        "token",
        "url",
        "webhook_url",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        # compose files pass unset variables as empty strings
        return None if value == "" else value

    @field_validator("webhook_url")
    @classmethod
    def _is_web_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
                raise ValueError("expected http://host/... or https://host/..., without a user")
        return value

    @property
    def resolved_database_url(self) -> str:
        """The database to use, the embedded SQLite file if none is configured."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'hpsearch.db'}"

    @property
    def resolved_redis_url(self) -> str:
        """The Redis to use, the bundled server's socket if none is configured."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        return f"unix://{quote(str(self.redis_socket))}"

    @property
    def redis_socket(self) -> Path:
        """Where the bundled Redis server listens.

        In the data folder; if that path is too long for a socket, in a short folder of its own
        under the system's temporary folder, the same for every process of this data folder.
        """
        path = self.data_dir.resolve() / "run" / "redis.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"hpsearch-{os.getuid()}-{digest}" / "redis.sock"

    @property
    def resolved_datasets_dir(self) -> Path:
        """Where data set files are looked for and downloaded to."""
        return (self.datasets_dir or self.data_dir / "datasets").resolve()

    @property
    def resolved_artifacts_dir(self) -> Path:
        """Where checkpoints and models are kept.

        Raises:
            ValueError: ``artifacts_url`` is not a ``file://`` URL.
        """
        if self.artifacts_url is None:
            return (self.data_dir / "artifacts").resolve()
        if not self.artifacts_url.startswith("file://"):
            raise ValueError(
                f"HPSEARCH_ARTIFACTS_URL must be a file:// URL for now, got {self.artifacts_url!r}"
            )
        return Path(self.artifacts_url.removeprefix("file://")).resolve()

    @property
    def is_embedded(self) -> bool:
        """Whether this process belongs to a cluster of one machine on embedded defaults."""
        return self.database_url is None

    def environment(self, **others: str) -> dict[str, str]:
        """Return the environment for a child process that is to read these same settings.

        Args:
            others: Settings by field name that differ in the child, as text.
        """
        values = {"data_dir": str(self.data_dir.resolve())}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is not None and name not in values:
                is_secret = isinstance(value, SecretStr)
                values[name] = value.get_secret_value() if is_secret else str(value)
        named = {f"HPSEARCH_{name.upper()}": text for name, text in {**values, **others}.items()}
        return {**os.environ, **named}  # noqa: TID251 - the one place that knows the environment


def read_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        InvalidSettings: Names every variable that is wrong, never its value: it may be a secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = (
            f"HPSEARCH_{'.'.join(str(part) for part in e['loc']).upper()}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        )
        raise InvalidSettings("; ".join(wrong)) from None
