"""Run a command that dies with the process that started it.

Used as a script, ``python -I -S tether.py <parent> <command>…``: it ties itself to its parent
and becomes the command. Nothing but the standard library, so that it costs 15 ms.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process as soon as its parent is gone, however it went.

    Where there is no such call (not Linux) nothing is promised. The tie survives ``exec``.

    Args:
        parent: Process id of the parent as it knew itself; if it is gone already, so are we.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would keep that
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command line is our own code's
