"""Train the trials a caller hands in, lane by lane, until it hands in no more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from hpsearch.datasets.splits import Splits
from hpsearch.layers.products import rounded_products
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.sections import EarlyStopping
from hpsearch.training.capacity import Lanes
from hpsearch.training.lanes import Boundary, Goal, HandedBack, LaneSpec, Reply
from hpsearch.training.losses import loss_of
from hpsearch.training.pack import Pack
from hpsearch.training.planner import Planner
from hpsearch.training.run import Run
from hpsearch.training.setup import Setup
from hpsearch.training.warm import Warm

Precision = Literal["exact", "fast"]


class Engine:
    """Trains packs of lanes on one device; may be run again and again.

    With ``exact`` precision on a CPU, a trial's result is bit for bit the same in any company,
    as long as torch computes in one thread.

    Args:
        splits: The examples; kept on the device as long as the engine lives.
        goal: What decides a lane's best epoch.
        seed: The study's seed.
        early_stopping: The rule for trials whose own training section has none.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        precision: ``exact`` (float32) or ``fast`` (bfloat16 or tf32 products, float32 state).
        lanes: Most lanes at once, or ``auto``.
        planner: Remembers how many lanes pay; kept by the caller from engine to engine.
        warm: Holds what stays on the device; kept by the caller likewise.
        dtype: Of weights and inputs; anything but float32 is for tests.
    """

    def __init__(
        self,
        splits: Splits,
        goal: Goal,
        seed: int,
        early_stopping: EarlyStopping | None = None,
        device: str = "cpu",
        precision: Precision = "exact",
        lanes: Lanes = "auto",
        *,
        planner: Planner | None = None,
        warm: Warm | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        where, warm = torch.device(device), warm or Warm()
        self._precision = precision
        self._setup = Setup(
            goal=goal,
            seed=seed,
            early_stopping=early_stopping,
            lanes=lanes,
            is_exact=precision == "exact" and where.type == "cpu",
            resident=warm.resident(splits, device=where, dtype=dtype),
            loss=loss_of(splits),
            planner=planner or Planner(),
            precision=precision,
            warm=warm,
        )

    def run(
        self, boundary: Callable[[Boundary], Reply], interrupted: Callable[[], bool]
    ) -> tuple[HandedBack, ...]:
        """Train until no lane is live and a reply admits nothing.

        Args:
            boundary: Asked at the start, whenever a lane has ended, and every 0.2 s of finished
                epochs; says what to do next. When it raises, the run ends with its exception.
            interrupted: Polled at least every half second; once it is true, finished epochs are
                reported (without room for new lanes) and all lanes are handed back.

        Returns:
            The lanes that left unfinished, as of their last epoch boundary.
        """
        with matmul_precision(self._precision, self._setup.device):
            return Run(self._setup, boundary, interrupted).go()

    def pack(self, config: TrialConfig, lanes: int) -> Pack:
        """Return a pack of equal trials, outside of any run: to measure, or to look at."""
        run = Run(self._setup, lambda _: Reply(), lambda: False)
        return run.pack_of([LaneSpec(number, config) for number in range(lanes)])


@contextmanager
def matmul_precision(precision: Precision, device: torch.device) -> Iterator[None]:
    """Multiply as this precision says; torch's own settings are put back."""
    if precision == "fast" and device.type == "cpu":
        with rounded_products():
            yield
        return
    before = torch.get_float32_matmul_precision()
    # exact, too: somebody else in this process may have set it, and a graph keeps what it saw
    torch.set_float32_matmul_precision("high" if precision == "fast" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
