"""Places where tests stop a process exactly: the crash windows of docs/explanation/exactness.md.

Nothing happens there unless ``HPSEARCH_TEST_FAULTS`` names a folder, which no production
environment does. Then a process that reaches a window looks for a file of the window's name,
takes it away, so that every order is carried out once, and does what it says.
"""

import datetime
import errno
import os
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from hpsearch.errors import ServiceDown

VARIABLE = "HPSEARCH_TEST_FAULTS"
TAKEN = ".taken"  # suffix of an order that is being or was carried out

# not a setting: nobody should find it in the reference
_FOLDER = os.environ.get(VARIABLE)  # noqa: TID251


class Window(StrEnum):
    """A moment between two effects that belong together."""

    STUDY_UNCOMMITTED = "study-uncommitted"
    STUDY_COMMITTED = "study-committed"
    RING_DUE = "ring-due"
    RING_SENT = "ring-sent"
    RING_TAKEN = "ring-taken"
    RESERVE_UNCOMMITTED = "reserve-uncommitted"
    RESERVE_COMMITTED = "reserve-committed"
    PARAMS_UNCOMMITTED = "params-uncommitted"
    PARAMS_COMMITTED = "params-committed"
    TRAINING = "training"
    REPORT_UNCOMMITTED = "report-uncommitted"
    REPORT_COMMITTED = "report-committed"
    FILE_UNFINISHED = "file-unfinished"
    MODEL_WRITTEN = "model-written"
    CHECKPOINT_WRITTEN = "checkpoint-written"
    CHECKPOINT_RECORDED = "checkpoint-recorded"
    HAND_BACK_WRITTEN = "hand-back-written"
    HAND_BACK_UNCOMMITTED = "hand-back-uncommitted"
    HAND_BACK_COMMITTED = "hand-back-committed"


class Fault(StrEnum):
    """What may happen in a window."""

    KILL = "kill"  # as kill -9 does
    HANG = "hang"  # this thread, for good
    CUT = "cut"  # the connection to the database; after a COMMIT: its acknowledgement is lost
    FULL = "full"  # the disk
    AHEAD = "ahead"  # this process takes it to be an hour later than it is, from now on
    BEHIND = "behind"  # an hour earlier


_HOUR_S = 3600.0
_TrueDatetime = datetime.datetime


def reached(window: Window) -> None:
    """Do what a test has ordered for this window; without one, nothing.

    Raises:
        ServiceDown: The order is to lose the connection.
        OSError: The order is to have a full disk.
    """
    if _FOLDER is not None:
        _carry_out(Path(_FOLDER) / window)


def _carry_out(order: Path) -> None:
    taken = order.with_name(order.name + TAKEN)
    try:
        order.rename(taken)
    except FileNotFoundError:
        return
    fault = Fault(taken.read_text().strip())
    if fault is Fault.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    if fault is Fault.HANG:
        while True:
            time.sleep(60.0)
    if fault in {Fault.AHEAD, Fault.BEHIND}:
        _set_clock(_HOUR_S if fault is Fault.AHEAD else -_HOUR_S)
        return
    if fault is Fault.CUT:
        raise ServiceDown("database", "the connection was lost")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _set_clock(by_s: float) -> None:
    """Shift what Python code of this process sees of the machine's clock."""
    true_time = time.time

    class Kind(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, _TrueDatetime)

    class Shifted(_TrueDatetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _TrueDatetime.now(tz) + datetime.timedelta(seconds=by_s)

    time.time = lambda: true_time() + by_s
    for module in list(sys.modules.values()):
        if getattr(module, "datetime", None) is _TrueDatetime:
            module.datetime = Shifted  # type: ignore[attr-defined]
