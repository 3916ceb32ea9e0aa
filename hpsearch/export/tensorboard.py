"""Trials as TensorBoard event files: curves as scalars, points in the hparams plugin."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from hpsearch.errors import InvalidRequest, NotInstalled
from hpsearch.spec.views import EpochView, TrialSummary


def write_events(folder: Path, trials: Iterable[tuple[TrialSummary, Sequence[EpochView]]]) -> int:
    """Write one run a trial into ``folder``; return how many.

    Raises:
        NotInstalled: The library ``tensorboardX`` is not there.
        InvalidRequest: The folder cannot be written, or holds something.
    """
    try:
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams
    except ImportError as error:
        raise NotInstalled(
            "TensorBoard event files need a library that is not installed here: "
            "pip install 'hpsearch[tensorboard]'"
        ) from error
    if folder.exists() and any(folder.iterdir()):
        # a run that is written twice shows two curves
        raise InvalidRequest(f"{folder} is not empty: name another folder with --out")
    n_trials = 0
    for trial, epochs in trials:
        writer = SummaryWriter(str(folder / f"trial-{trial.number:04d}"))
        for epoch in epochs:
            for name, value in epoch.metrics.items():
                writer.add_scalar(name, value, epoch.epoch)
        finals = {f"final/{name}": value for name, value in (trial.values or {}).items()}
        finals |= {f"test/{name}": value for name, value in (trial.test or {}).items()}
        metrics = {k: v for k, v in finals.items() if v is not None and math.isfinite(v)}
        params = {name: "null" if p is None else p for name, p in trial.params.items()}
        if params and metrics:
            for summary in hparams(params, metrics):
                writer.file_writer.add_summary(summary)
            for name, value in metrics.items():
                writer.add_scalar(name, value, trial.best_epoch)
        writer.close()
        n_trials += 1
    return n_trials
