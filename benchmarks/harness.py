"""Measure cases side by side: warmed up, interleaved, one JSON line each.

Machines are busy and clocks drift, so a rate alone means little: every case is run once a round,
and its ratio to the baseline is taken inside the round. Compare ratios, never rates of two runs.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from hpsearch.training.process import settle_process

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Case:
    """One way of doing the work.

    Attributes:
        run: Does the work once and returns how much it did, in ``unit``.
        settings: What distinguishes it, for the record.
    """

    run: Callable[[], float]
    settings: Mapping[str, Any]


def pin(core: int | None) -> None:
    """Compute on one core in one thread, as a trainer does."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    settle_process("cpu")


def compare(
    question: str,
    cases: Mapping[str, Case],
    *,
    baseline: str,
    unit: str,
    repeats: int,
    out: Path | None = None,
    derive: Callable[[float], Mapping[str, Any]] = lambda _: {},
    clock: Literal["wall", "cpu"] = "wall",
) -> dict[str, dict[str, Any]]:
    """Run every case once a round and print medians, spreads and ratios to the baseline.

    Args:
        question: What the benchmark answers; in every line.
        cases: By name; the first round warms up and is not counted.
        baseline: The case that the ratios are taken to.
        unit: Of the rates.
        repeats: Rounds that count.
        out: File that the lines are appended to as well.
        derive: Returns what else to say of a median.
        clock: ``cpu`` counts the processor time of this process alone: for work in one thread,
            on a machine whose cores others use as well.
    """
    rates: dict[str, list[float]] = {name: [] for name in cases}
    now = time.process_time if clock == "cpu" else time.perf_counter
    for round_ in range(repeats + 1):
        for name, case in cases.items():
            started = now()
            work = case.run()
            seconds = now() - started
            if round_:
                rates[name].append(work / seconds)
    lines = {}
    for name, case in cases.items():
        ratios = [a / b for a, b in zip(rates[name], rates[baseline], strict=True)]
        lines[name] = {
            "question": question,
            "name": name,
            **case.settings,
            "median": round(statistics.median(rates[name]), 3),
            "p10": round(_percentile(rates[name], 0.1), 3),
            "p90": round(_percentile(rates[name], 0.9), 3),
            "unit": unit,
            "clock": clock,
            "n": repeats,
            "baseline": baseline,
            "ratio": round(statistics.median(ratios), 3),
            "ratio_p10": round(_percentile(ratios, 0.1), 3),
            "ratio_p90": round(_percentile(ratios, 0.9), 3),
            **derive(statistics.median(rates[name])),
            **environment(),
        }
        emit(lines[name], out)
    return lines


def emit(line: Mapping[str, Any], out: Path | None) -> None:
    """Print one JSON line, and append it to a file."""
    text = json.dumps(line)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a") as file:
            file.write(f"{text}\n")


def environment() -> dict[str, Any]:
    """Return device, versions and commit."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu()
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": _commit(),
    }


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _cpu() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
