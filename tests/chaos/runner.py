"""The real runner of trainers, with less patience for hangs: a test has no minute to wait."""

import hpsearch.session.run
import hpsearch.worker.pulse
from hpsearch.settings import Settings
from hpsearch.worker.turns import DatabaseRunner, make_runner

PATIENCE_S = 2.0


def make(settings: Settings, worker: str, device: str) -> DatabaseRunner:
    """Return the real runner."""
    hpsearch.session.run.STALLED_AFTER_S = PATIENCE_S
    hpsearch.worker.pulse.TRAINING_SILENCE_S = PATIENCE_S
    return make_runner(settings, worker, device)
