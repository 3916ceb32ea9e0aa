"""The janitor's thread survives."""

import threading
from collections.abc import Iterator

import pytest

from hpsearch.api import janitor as room
from hpsearch.api.janitor import JanitorThread
from hpsearch.errors import ServiceDown
from hpsearch.studies.janitor import JanitorReport

SOON_S = 10


class Passes:
    """Stands for the janitor: fails as told, and lets the test wait for its passes."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.n_passes = 0
        self.passed = threading.Condition()

    def __call__(self, *_arguments: object) -> "Passes":
        return self

    def tick(self) -> JanitorReport:
        with self.passed:
            self.n_passes += 1
            self.passed.notify_all()
        if self.failures:
            raise self.failures.pop(0)
        return JanitorReport(0, 0)

    def wait_for(self, n_passes: int) -> bool:
        with self.passed:
            return self.passed.wait_for(lambda: self.n_passes >= n_passes, SOON_S)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Passes, JanitorThread]]:
    passes = Passes(RuntimeError("a mistake"), ServiceDown("database", "gone"))
    monkeypatch.setattr(room, "Janitor", passes)
    thread = JanitorThread(None, None, lease_s=30, period_s=0.001)  # type: ignore[arg-type]  # fakes
    thread.start()
    yield passes, thread
    thread.stop()


def test_failing_passes_do_not_end_the_thread(started: tuple[Passes, JanitorThread]) -> None:
    passes, _thread = started
    assert passes.wait_for(5)


def test_a_nudge_is_a_pass_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes()
    monkeypatch.setattr(room, "Janitor", passes)
    thread = JanitorThread(None, None, lease_s=30, period_s=3600)  # type: ignore[arg-type]  # fakes
    thread.start()
    try:
        assert passes.wait_for(1)
        thread.nudge()
        assert passes.wait_for(2)
    finally:
        thread.stop()


def test_a_stopped_thread_is_gone(started: tuple[Passes, JanitorThread]) -> None:
    passes, thread = started
    thread.stop()
    n_passes = passes.n_passes
    thread.nudge()
    assert passes.n_passes == n_passes
    assert "janitor" not in [other.name for other in threading.enumerate()]
