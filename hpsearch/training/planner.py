"""How many lanes pay on this device: measured once for each kind of pack, and remembered.

Fusing lanes saves the cost of starting kernels and makes larger products, and it costs memory
traffic once the weights of the pack leave the cache. Which of the two wins depends on the
machine, so a few numbers of lanes are tried out on throw-away weights. Trying out may take a
fiftieth of the work it is for, and a second at most; for less work there is the table of
``capacity.py``.
"""

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from hpsearch.logs import get_logger
from hpsearch.training.capacity import free_bytes, is_out_of_memory
from hpsearch.training.lane import Lane
from hpsearch.training.pack import Pack
from hpsearch.training.packing import optimizer_of

MOST_S = 1.0  # that trying out may take
MOST_SHARE = 0.02  # of the work it is for
MEMORY_SHARE = 0.5  # of what is free, for one pack
_CANDIDATES = {"cpu": (1, 2, 4, 8, 16), "cuda": (1, 4, 16, 64, 128, 256, 512, 1024)}
_ROUNDS = 3  # candidates take turns, so that a busy moment hits all of them
_LEAST_STEPS = 750  # of one lane: eight of each count, each round; fewer mostly time the first one
_WORTH = 1.03  # a larger pack has to be so much faster than a smaller one
_RECORDED_AFTER = 10  # steps, by when those of every kind but the rarest have been recorded
_TIMED_STEPS = 16  # before the first of the rarest kind

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was found out about one kind of pack.

    Attributes:
        lanes: How many a pack should hold.
        rates: Lane-steps per second by number of lanes.
    """

    lanes: int
    rates: dict[int, float]


class Planner:
    """Remembers capacities, in this process and in a folder.

    Args:
        folder: Where capacities outlive the process; None: nowhere.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._capacities: dict[str, Capacity | None] = {}
        self._work_s: dict[str, float] = {}  # done without a capacity
        self._step_s: dict[str, float] = {}  # of one lane, about

    def known(self, key: str) -> int | None:
        """Return how many lanes pay, if that has been measured."""
        if key not in self._capacities:
            self._capacities[key] = self._read(key)
        capacity = self._capacities[key]
        return None if capacity is None else capacity.lanes

    def is_due(self, key: str, pack: Pack, epoch_s: float) -> bool:
        """Return whether there is enough work to measure for: done so far, and certain to come.

        Args:
            key: What the capacity will be known by.
            pack: A pack at the end of an epoch.
            epoch_s: What that epoch took.
        """
        self._work_s[key] = self._work_s.get(key, 0.0) + epoch_s
        n_left = max(lane.spec.config.training.epochs - lane.epoch for lane in pack.lanes)
        self._step_s[key] = epoch_s / (pack.n_steps * len(pack.lanes))
        return self._budget_s(key, n_left * epoch_s) >= _LEAST_STEPS * self._step_s[key]

    def measure(self, key: str, pack: Pack, poll: Callable[[], None]) -> int:
        """Try out packs like this one and return how many lanes pay.

        Args:
            key: What the capacity will be known by.
            pack: A pack with work to do, for which :meth:`is_due`; it is not touched.
            poll: Called between two tries; may raise to leave.
        """
        started = time.monotonic()
        n_left = max(lane.spec.config.training.epochs - lane.epoch for lane in pack.lanes)
        step_s = self._step_s[key]
        work_s = n_left * step_s * pack.n_steps * len(pack.lanes)
        budget_s = self._budget_s(key, work_s)
        if pack.is_recorded:
            capacity = _climbed(pack, budget_s, poll)
        else:
            capacity = _measured(pack, step_s, budget_s, poll)
        seconds = round(time.monotonic() - started, 3)
        log.info("capacity_measured", lanes=capacity.lanes, rates=capacity.rates, seconds=seconds)
        self._capacities[key] = capacity
        self._write(key, capacity)
        return capacity.lanes

    def _budget_s(self, key: str, coming_s: float) -> float:
        return min(MOST_S, MOST_SHARE * (self._work_s[key] + coming_s))

    def _path(self, key: str) -> Path | None:
        name = hashlib.sha256(key.encode()).hexdigest()[:24]
        return None if self._folder is None else self._folder / f"{name}.json"

    def _read(self, key: str) -> Capacity | None:
        path = self._path(key)
        if path is None:
            return None
        try:
            saved = json.loads(path.read_bytes())
            if saved["key"] != key:
                return None
            rates = {int(lanes): float(rate) for lanes, rate in saved["rates"].items()}
            return Capacity(int(saved["lanes"]), rates)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("capacity_unreadable", path=str(path), reason=str(error)[:200])
            return None

    def _write(self, key: str, capacity: Capacity) -> None:
        """Keep a capacity; where that fails it is measured again some day."""
        path = self._path(key)
        if path is None:
            return
        text = json.dumps({"key": key, "lanes": capacity.lanes, "rates": capacity.rates})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".capacity")
            with os.fdopen(handle, "w") as file:
                file.write(text)
            Path(temporary).replace(path)
        except OSError as error:
            log.warning("capacity_not_saved", path=str(path), reason=str(error)[:200])


def capacity_key(signature: object, lane: Lane, *, device: torch.device, is_exact: bool) -> str:
    """Return what packs have in common that are equally fast: device, program, size.

    Widths count to the nearest half power of two: packs that close behave alike.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    facts: dict[str, Any] = {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "exact": is_exact,
        "signature": repr(signature),
        "sizes": [[round(2 * math.log2(n)) for n in shape] for shape in lane.shapes.values()],
    }
    return json.dumps(facts, sort_keys=True)


def best_of(rates: dict[int, float]) -> int:
    """Return the number of lanes to use: the smallest none beats by more than noise."""
    best = min(rates)
    for lanes in sorted(rates):
        if rates[lanes] >= rates[best] * _WORTH:
            best = lanes
    return best


def lane_bytes(lane: Lane, itemsize: int) -> int:
    """Return the memory a lane takes in a pack: weights, best, gradients, buffers, snapshots."""
    n_values = sum(math.prod(shape) for shape in lane.shapes.values())
    n_buffers = len(optimizer_of(lane.spec.config).buffers)
    return itemsize * n_values * (4 + 2 * n_buffers)


def _measured(pack: Pack, step_s: float, budget_s: float, poll: Callable[[], None]) -> Capacity:
    deadline = time.monotonic() + budget_s
    first, counts = pack.lanes[0], _counts(pack)
    trial = pack.empty_copy()
    seen: list[int] = []
    for n in counts:
        # the first look at a size finds kernels and memory; it may take half of the budget
        is_late = time.monotonic() > deadline - budget_s / 2
        if len(seen) > 1 and (is_late or _n_steps([*seen, n], step_s, budget_s / 2) < 1):
            break
        poll()
        try:
            _fill(trial, first, n)
            trial.try_out(n, 1)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or not seen:
                raise
            break
        seen.append(n)
    n_steps = max(1, _n_steps(seen, step_s, deadline - time.monotonic()))
    fastest = dict.fromkeys(seen, math.inf)
    for _ in range(_ROUNDS):
        for n in seen:
            poll()
            fastest[n] = min(fastest[n], trial.try_out(n, n_steps) / n_steps)
    rates = {n: round(n / seconds, 1) for n, seconds in fastest.items()}
    return Capacity(best_of(rates), rates)


def _climbed(pack: Pack, budget_s: float, poll: Callable[[], None]) -> Capacity:
    """Try out more and more lanes, recorded, as long as that pays.

    A GPU that is not busy takes as long for one lane as for many: what a number of lanes costs
    says nothing about a larger one, and where more do not pay, still more do not either.
    """
    deadline = time.monotonic() + budget_s
    first, trial = pack.lanes[0], pack.empty_copy()
    rates: dict[int, float] = {}
    try:
        for n in _counts(pack):
            if rates and time.monotonic() > deadline:
                break
            poll()
            _fill(trial, first, 1)
            trial.spread(_copies(first, range(len(trial.lanes), n)))
            trial.try_out(n, _RECORDED_AFTER)
            seconds = min(trial.try_out(n, _TIMED_STEPS) for _ in range(_ROUNDS))
            rates[n] = round(n * _TIMED_STEPS / seconds, 1)
            if best_of(rates) != n:
                break
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or not rates:
            raise
    trial.release()
    return Capacity(best_of(rates), rates)


def _counts(pack: Pack) -> list[int]:
    """Return the numbers of lanes there is memory for."""
    a_lane = max(1, lane_bytes(pack.lanes[0], pack.itemsize))
    room = MEMORY_SHARE * free_bytes(pack.device) / a_lane
    return [n for n in _CANDIDATES[pack.device.type] if n <= max(1.0, room)]


def _n_steps(counts: Sequence[int], step_s: float, budget_s: float) -> int:
    """Return how many steps of each count fit the budget."""
    return int(budget_s / (_ROUNDS * step_s * sum(counts)))


def _fill(trial: Pack, like: Lane, n_lanes: int) -> None:
    for lane in _copies(like, range(len(trial.lanes), n_lanes)):
        trial.add(lane, None)


def _copies(like: Lane, numbers: range) -> list[Lane]:
    return [
        Lane(
            replace(like.spec, number=n, resume=None), like.shapes, like.n_parameters, like.tracker
        )
        for n in numbers
    ]


@cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "cpu"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "cpu"
