"""The RQ parent of one device: ``python -m hpsearch.worker.listener``."""

import argparse
import sys
from collections.abc import Sequence

from hpsearch.logs import configure_logs
from hpsearch.queue.connection import connect
from hpsearch.settings import Settings
from hpsearch.worker.runner import DEFAULT_RUNNER
from hpsearch.worker.trainer_process import TrainerPlan, TrainerProcess
from hpsearch.worker.warm import WarmWorker


def main(arguments: Sequence[str]) -> int:
    """Listen for rings until a signal says stop."""
    parser = argparse.ArgumentParser(prog="hpsearch.worker.listener")
    parser.add_argument("--worker", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--core", type=int)
    parser.add_argument("--runner", default=DEFAULT_RUNNER)
    parser.add_argument("--lost", action="append", default=[])
    options = parser.parse_args(arguments)
    settings = Settings()
    configure_logs(settings.log_level, settings.log_format)
    plan = TrainerPlan(options.worker, options.device, options.core, options.runner)
    redis = connect(settings.resolved_redis_url)
    WarmWorker(redis, options.worker, TrainerProcess(plan, options.lost)).work()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
