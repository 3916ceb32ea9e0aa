from pathlib import Path

import pytest

from hpsearch.local import logfile
from hpsearch.local.logfile import LogFile


def test_a_log_is_fresh_at_every_start_and_tells_its_last_words(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "api.log"
    for word in ("old", "new"):
        log = LogFile(path)
        log.output.write(f"first {word}\nlast {word}\n\n".encode())
        log.output.flush()
        assert log.last_line() == f"last {word}"
        log.close()
    assert "old" not in path.read_text()


def test_a_large_log_is_moved_aside_and_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "LARGEST_BYTES", 10)
    log = LogFile(tmp_path / "api.log")
    log.output.write(b"more than ten bytes\n")
    log.output.flush()
    log.bound()
    log.output.write(b"then\n")
    log.close()
    assert (tmp_path / "api.log.1").read_bytes() == b"more than ten bytes\n"
    assert (tmp_path / "api.log").read_bytes() == b"then\n"
