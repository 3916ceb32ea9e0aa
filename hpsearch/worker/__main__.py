"""``python -m hpsearch.worker``: one worker per device of this machine."""

import argparse
import sys
from collections.abc import Sequence

from hpsearch.errors import HpsearchError
from hpsearch.logs import configure_logs, get_logger
from hpsearch.queue.connection import connect
from hpsearch.settings import Settings
from hpsearch.worker.devices import find_devices
from hpsearch.worker.runner import DEFAULT_RUNNER
from hpsearch.worker.supervisor import Supervisor

log = get_logger("hpsearch.worker")


def main(arguments: Sequence[str]) -> int:
    """Train until a signal says stop. Returns the exit code: 2 if the settings cannot work."""
    parser = argparse.ArgumentParser(
        prog="python -m hpsearch.worker",
        description="Train what studies owe, on every device of this machine.",
    )
    parser.add_argument("--runner", default=DEFAULT_RUNNER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    settings = Settings()
    configure_logs(settings.log_level, settings.log_format)
    environment = settings.environment()
    try:
        connect(settings.resolved_redis_url).close()  # the URL, not the server, is checked
        devices = find_devices(settings.devices, environment.get("CUDA_VISIBLE_DEVICES"))
    except (HpsearchError, ValueError) as error:
        log.error("worker_refused", reason=str(error))
        return 2
    log.info("worker_started", devices=[device.name for device in devices])
    Supervisor(devices, options.runner, environment).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
