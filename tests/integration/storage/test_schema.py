from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from optuna.storages import RDBStorage
from sqlalchemy import inspect, text

from hpsearch.errors import ServiceDown
from hpsearch.storage.database import Database
from hpsearch.storage.schema import is_current, upgrade
from hpsearch.storage.tables import PREFIX, VERSION_TABLE, metadata
from tests.studies import opened


def test_the_migrations_make_the_tables_the_code_expects(database_url: str) -> None:
    with opened(database_url) as database, database.read() as tx:
        context = MigrationContext.configure(
            tx,
            opts={
                "version_table": VERSION_TABLE,
                "include_name": lambda name, kind, _: kind != "table" or name.startswith(PREFIX),
            },
        )
        assert compare_metadata(context, metadata) == []


def test_an_empty_database_is_not_current_until_it_is_upgraded(empty_database_url: str) -> None:
    with opened(empty_database_url) as database:
        assert not is_current(database)
        upgrade(empty_database_url)
        assert is_current(database)


def test_six_upgrades_at_once_make_one_schema(empty_database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(upgrade, [empty_database_url] * 6))
    with opened(empty_database_url) as database:
        assert is_current(database)


def test_optunas_version_table_is_left_to_optuna(database_url: str) -> None:
    storage = RDBStorage(database_url, skip_table_creation=True)
    assert storage.get_current_version() == storage.get_head_version()
    storage.remove_session()
    storage.engine.dispose()
    with opened(database_url) as database, database.read() as tx:
        ours = tx.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
        theirs = tx.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        assert ours != theirs
        assert VERSION_TABLE in inspect(tx).get_table_names()


def test_a_database_that_is_not_there_is_down_and_no_password_is_shown() -> None:
    database = Database("postgresql://user:sesame@127.0.0.1:1/none")
    with pytest.raises(ServiceDown) as caught:
        database.ping()
    database.dispose()
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://user:sesame@host/db", "no url at all"])
def test_another_kind_of_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="HPSEARCH_DATABASE_URL") as caught:
        Database(url)
    assert "sesame" not in str(caught.value)


def test_what_fails_in_a_transaction_changes_nothing(database_url: str) -> None:
    row = "INSERT INTO hpsearch_tokens VALUES ('a', 'n', 'o', 'read', '2026-01-01 00:00:00')"

    def write_and_fail(database: Database) -> None:
        with database.write() as tx:
            tx.execute(text(row))
            raise ZeroDivisionError

    with opened(database_url) as database:
        with pytest.raises(ZeroDivisionError):
            write_and_fail(database)
        with database.read() as tx:
            assert tx.execute(text("SELECT count(*) FROM hpsearch_tokens")).scalar_one() == 0
