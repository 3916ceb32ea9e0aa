"""TensorBoard event files; a how-to's test reads what is in them."""

import sys
from pathlib import Path

import pytest

from hpsearch.errors import InvalidRequest, NotInstalled
from hpsearch.export.tensorboard import write_events


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("mine")
    with pytest.raises(InvalidRequest, match="not empty"):
        write_events(tmp_path, [])


def test_without_the_library_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(NotInstalled, match=r"hpsearch\[tensorboard\]"):
        write_events(tmp_path / "new", [])
    assert not (tmp_path / "new").exists()
