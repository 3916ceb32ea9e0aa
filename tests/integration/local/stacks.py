"""A stack of real processes around fake programs; also a script that runs one until Ctrl-C."""

import signal
import sys

from hpsearch.local.service import Announce
from hpsearch.local.stack import Modules, Stack
from hpsearch.settings import Settings

FAKES = Modules(
    api=("tests.integration.local.fake_api",),
    worker=("hpsearch.worker", "--runner", "tests.integration.worker.fake_runner:make"),
    upgrade=("tests.integration.local.fake_upgrade",),
)


def fake_stack(settings: Settings, announce: Announce | None = None) -> Stack:
    return Stack(settings, announce, FAKES)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with fake_stack(Settings()) as stack:
            stack.wait_ready()
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            signal.pause()
    except KeyboardInterrupt:
        sys.exit(130)
