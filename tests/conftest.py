"""Real services for every test: PostgreSQL, Redis, SQLite, data set files.

Nothing here is found by chance: a server is the one configured or one started here, and what was
started here is gone at the end, even when the run is killed.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.idx import has_mnist, write_tiny_mnist
from tests.services.postgres import PostgresServer, postgres_server
from tests.services.redis import RedisServer, own_redis

# the two variables of the outside world that tests heed; the settings class hides the others
TEST_DATABASE_URL = os.environ.get("HPSEARCH_TEST_DATABASE_URL") or None  # noqa: TID251
DATASETS_DIR = os.environ.get("HPSEARCH_DATASETS_DIR") or None  # noqa: TID251
os.environ.setdefault("OMP_NUM_THREADS", "1")  # noqa: TID251 - before torch is imported


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the developer's own settings and data folder from the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):  # noqa: TID251
            if name.startswith("HPSEARCH_") or name == "PORT":
                patch.delenv(name)
        patch.setenv("HPSEARCH_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        patch.setenv("NO_COLOR", "1")
        patch.chdir(tmp_path_factory.mktemp("cwd"))  # the checkout may hold an .env
        yield


@pytest.fixture(scope="session")
def postgres_admin() -> Iterator[PostgresServer]:
    with postgres_server(TEST_DATABASE_URL) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_admin: PostgresServer) -> str:
    url = postgres_admin.create()
    _migrate(url)
    return url


@pytest.fixture
def empty_postgres_url(postgres_admin: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database of this test's own, without any table."""
    url = postgres_admin.create()
    yield url
    postgres_admin.drop(url)


@pytest.fixture
def postgres_url(postgres_admin: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A PostgreSQL database of this test's own, with all tables and no rows."""
    url = postgres_admin.create(postgres_template)
    yield url
    postgres_admin.drop(url)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    path.touch()
    _migrate(f"sqlite:///{path}")
    leftovers = [other for other in path.parent.iterdir() if other.name.endswith("-wal")]
    assert not any(other.stat().st_size for other in leftovers), "a connection was left open"
    return path


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """A SQLite database of this test's own, without any table."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_template: Path) -> str:
    """A SQLite database of this test's own, with all tables and no rows."""
    path = tmp_path / "hpsearch.db"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of this test's own with all tables; the test runs once per kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A database of this test's own without tables; the test runs once per kind."""
    name = "empty_sqlite_url" if request.param == "sqlite" else "empty_postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis: ``.url`` (Unix socket), ``.tcp_url`` (password), ``.flush()``."""
    with own_redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """The URL of a Redis that holds nothing yet."""
    redis_server.flush()
    yield redis_server.url
    redis_server.flush()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute as trainers do: bitwise equality holds in a single thread."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def plain_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute in plain torch alone, as on a processor that our kernels are not made for."""
    from hpsearch.native.processor import processor

    if importlib.util.find_spec("llvmlite") is not None:
        monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", dict)
    processor.cache_clear()
    assert processor() is None
    yield
    processor.cache_clear()


@pytest.fixture(params=["native", "torch"])
def way(request: pytest.FixtureRequest) -> str:
    """Both ways to compute on a CPU, by our own kernels and by plain torch: once per way."""
    from hpsearch.native.processor import processor

    name: str = request.param
    if name == "torch":
        request.getfixturevalue("plain_torch")
    elif processor() is None:
        pytest.skip("there are no kernels for this processor")
    return name


@pytest.fixture(params=["native", "fused", "alone"])
def cell_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ways to compute recurrent layers: as in ``way``, torch's lanes fused or one by one."""
    from hpsearch.models import recurrent
    from hpsearch.native.processor import processor

    name: str = request.param
    if name != "native":
        request.getfixturevalue("plain_torch")
        is_alone = name == "alone"
        monkeypatch.setattr(  # torch's own kernels are of cells with gates
            recurrent, "runs_lane_by_lane", lambda cell, _: is_alone and cell != "vanilla"
        )
    elif processor() is None:
        pytest.skip("there are no kernels for this processor")
    return name


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data sets folder with ``mnist/`` in it: the configured one, else a tiny likeness."""
    if DATASETS_DIR is not None and has_mnist(Path(DATASETS_DIR)):
        return Path(DATASETS_DIR).resolve()
    return write_tiny_mnist(tmp_path_factory.mktemp("datasets"))


def _migrate(url: str) -> None:
    if importlib.util.find_spec("hpsearch.storage.schema") is None:
        return
    from hpsearch.storage.schema import upgrade

    upgrade(url)
