"""Trainers forked from a process that has loaded torch: born in milliseconds, killed for real."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from hpsearch import faults
from hpsearch.faults import Fault, Window

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["hpsearch.turn", "hpsearch.training.run", "hpsearch.catalog"])
STALLED_AFTER_S = 0.3  # of these trainers; 60 s in production


class Orders:
    """A folder of orders to processes: what is to happen in which window, once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def give(self, window: Window, fault: Fault) -> None:
        """Order a fault; the first process in the window has it."""
        part = self.folder / f"{window}.part"
        part.write_text(fault)
        part.rename(self.folder / window)

    def is_done(self, window: Window) -> bool:
        """Return whether a process has met the fault."""
        return (self.folder / f"{window}{faults.TAKEN}").exists()

    def withdraw(self) -> list[str]:
        """Take back what nobody has met; returns the windows."""
        left = [path for path in self.folder.iterdir() if path.suffix != faults.TAKEN]
        for path in left:
            path.unlink(missing_ok=True)
        return [path.name for path in left]


def fork(orders: Orders, target: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Start a process that heeds the orders."""
    process = CONTEXT.Process(target=_obey, args=(str(orders.folder), target, arguments))
    process.start()
    return process


def train(
    url: str, folder: str, worker: str, lost: str | None, turns: int, lease_s: float
) -> None:
    """Take turns until nothing is left to do; all but the last are cut short after some epochs."""
    import hpsearch.session.run
    import hpsearch.training.run
    from hpsearch.storage.database import Database
    from hpsearch.studies.recover import worker_lost
    from hpsearch.turn import TurnRunner

    hpsearch.training.run._BOUNDARY_S = 0.02  # more reports, more windows
    hpsearch.session.run.STALLED_AFTER_S = STALLED_AFTER_S
    database = Database(url)
    if lost is not None:
        worker_lost(database, lost)  # as a listener has it done
    runner = TurnRunner(
        database,
        worker=worker,
        device="cpu",
        datasets_dir=Path(folder) / "datasets",
        artifacts_dir=Path(folder) / "artifacts",
        lease_s=lease_s,
        turn_s=60.0,
        checkpoint_s=0.05,
    )
    for turn in range(turns):
        left = 8 if turn < turns - 1 else 10**9

        def interrupted() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        runner.run(None, interrupted)
    database.dispose()


def _obey(folder: str, target: Callable[..., None], arguments: tuple[object, ...]) -> None:
    import torch

    faults._FOLDER = folder
    torch.set_num_threads(1)
    target(*arguments)
    os._exit(0)  # as a trainer ends
