from pathlib import Path

import pytest

from hpsearch.settings import Settings


def test_a_child_reads_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        data_dir=tmp_path,
        token="s3cret",
        database_url="postgresql+psycopg://me:p%40ss@host/db",
        lease_s=7.5,
        devices="cpu:3",
    )
    for name, value in settings.environment().items():
        if name.startswith("HPSEARCH_"):
            monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_a_child_may_differ_in_single_settings(tmp_path: Path) -> None:
    environment = Settings(data_dir=tmp_path).environment(port="8123")
    assert environment["HPSEARCH_PORT"] == "8123"
    assert "HPSEARCH_TOKEN" not in environment


def test_a_socket_path_is_short_and_the_same_for_every_process(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    one, other = Settings(data_dir=deep), Settings(data_dir=deep)
    assert one.redis_socket == other.redis_socket
    assert len(str(one.redis_socket)) <= 100
    assert one.redis_socket != Settings(data_dir=deep / "y").redis_socket
