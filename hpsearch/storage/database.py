"""One database, SQLite or PostgreSQL: connections, transactions, the clock, the lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.types import DateTime

from hpsearch.errors import ServiceDown, StudyNotFound
from hpsearch.storage.tables import optuna_studies

Transaction = Connection
"""An open transaction. Only this room looks inside; the verbs pass it on."""

CLOCK = func.timezone("utc", func.clock_timestamp(), type_=DateTime())
"""PostgreSQL's clock at this moment, as a column: naive UTC."""

BUSY_TIMEOUT_S = 60.0  # longest wait for SQLite's write lock; worst seen with 8 writers: 3 s
NETWORK = {
    "connect_timeout": 5,  # s
    "keepalives_idle": 10,  # s
    "keepalives_interval": 5,  # s
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,  # ms
}
"""How long a server that is cut off is waited for; without it minutes, in which nobody trains.

The URL may say otherwise: ``?connect_timeout=30``.
"""

WRITES = "hpsearch_writes"
_UNDEFINED_TABLE = "42P01"  # PostgreSQL's; to SQLite it is an OperationalError like others


class Database:
    """Connections to one database.

    Args:
        url: SQLAlchemy URL, ``sqlite:///file`` or ``postgresql+psycopg://…``.
        pool_size: Most connections kept open by this process.

    Raises:
        ValueError: The URL is neither SQLite nor PostgreSQL; the message hides the password.
    """

    def __init__(self, url: str, pool_size: int = 5) -> None:
        self.url = _parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _create_engine(self.url, pool_size)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a transaction that sees one consistent state and writes nothing.

        Raises:
            ServiceDown: The database does not answer.
        """
        options: dict[str, Any] = {}
        if not self.is_sqlite:
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with _as_service_down(), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that commits at the end, or changes nothing if anything is raised.

        On SQLite it holds the write lock from the first moment (``BEGIN IMMEDIATE``); on
        PostgreSQL it is READ COMMITTED and the verb locks its study.

        Raises:
            ServiceDown: The database does not answer.
        """
        with _as_service_down(), self.engine.connect() as connection:
            connection = connection.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection

    def ping(self) -> None:
        """Return if the database answers.

        Raises:
            ServiceDown: It does not.
        """
        with self.read() as tx:
            tx.execute(text("SELECT 1"))

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def is_writing(tx: Transaction) -> bool:
    """Return whether the transaction may write, and so may see what is never committed."""
    return bool(tx.get_execution_options().get(WRITES, False))


_NOW = select(CLOCK)


def now(tx: Transaction) -> datetime:
    """Return the database's clock at this moment (not at the transaction's start), aware UTC.

    SQLite lives on this machine, so its clock is ours.
    """
    at = clock(tx)
    if isinstance(at, datetime):
        return at
    value: datetime = tx.execute(_NOW if at is CLOCK else select(at)).scalar_one()
    return value.replace(tzinfo=UTC)


def clock(tx: Transaction) -> datetime | ColumnElement[datetime]:
    """Return what a statement may write as :func:`now` without asking for it first."""
    if tx.dialect.name == "sqlite":
        return datetime.now(UTC)
    return CLOCK


def lock_study(tx: Transaction, study_id: int, name: str = "") -> None:
    """Hold the study's row until the transaction ends; every writing verb begins with this.

    A statement of its own: what is read afterwards is what the last holder left.

    Raises:
        StudyNotFound: There is no such row any more.
    """
    statement = select(optuna_studies.c.study_id).where(optuna_studies.c.study_id == study_id)
    if tx.execute(statement.with_for_update()).first() is None:
        raise StudyNotFound(name or str(study_id))


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(
            "HPSEARCH_DATABASE_URL is no database URL; "
            "expected sqlite:///file or postgresql+psycopg://user:password@host/database"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql" and parsed.drivername in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend not in {"sqlite", "postgresql"}:
        raise ValueError(
            "HPSEARCH_DATABASE_URL must be SQLite or PostgreSQL, "
            f"got {parsed.render_as_string(hide_password=True)}"
        )
    return parsed


def _create_engine(url: URL, pool_size: int) -> Engine:
    if url.get_backend_name() != "sqlite":
        limits = {name: value for name, value in NETWORK.items() if name not in url.query}
        return create_engine(
            url, pool_size=pool_size, max_overflow=2, pool_pre_ping=True, connect_args=limits
        )
    engine = create_engine(url, pool_size=pool_size, connect_args={"timeout": BUSY_TIMEOUT_S})
    guard_sqlite(engine)
    return engine


def guard_sqlite(engine: Engine) -> None:
    """Have an engine take SQLite's write lock at the first moment of what writes.

    Without it two transactions read the same row as free before either writes it.
    """

    @event.listens_for(engine, "connect")
    def set_pragmas(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            dbapi_connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _as_service_down() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise ServiceDown("database", str(error.orig).splitlines()[0]) from error
    except PoolTimeoutError as error:
        raise ServiceDown("database", "no free connection") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise ServiceDown("database", "the connection was lost") from error
        if getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
            raise ServiceDown("database", "no tables yet; run `hpsearch db upgrade`") from error
        raise
