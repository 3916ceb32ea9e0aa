"""Which trainers this machine gets: one a GPU, else one a core."""

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpsearch.errors import ServiceDown

PROBE_S = 120.0  # importing torch on a cold disk
_PROBE = "import torch; print(torch.cuda.device_count())"
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Device:
    """Where one trainer trains.

    Attributes:
        name: Part of the worker's name: ``cpu0``, ``cuda1``.
        kind: What torch is told: ``cpu`` or ``cuda:0`` (the only one it sees).
        core: The core a CPU trainer stays on.
        environment: Variables of its processes, over those of the supervisor.
    """

    name: str
    kind: str
    core: int | None = None
    environment: dict[str, str] = field(default_factory=dict)


def find_devices(
    setting: str,
    visible: str | None = None,
    *,
    count_gpus: Callable[[], int] | None = None,
    cores: Sequence[int] | None = None,
) -> tuple[Device, ...]:
    """Return the devices a setting stands for.

    Args:
        setting: ``auto``, ``cpu``, ``cpu:N``, ``cuda`` or ``cuda:0,1``.
        visible: ``CUDA_VISIBLE_DEVICES`` as it is now; indexes count within it.
        count_gpus: How many GPUs torch can use; asks a short-lived process by default.
        cores: Cores this process may use; asks the system by default.

    Raises:
        ServiceDown: The setting names GPUs that are not there.
    """
    count_gpus = count_gpus or count_usable_gpus
    usable = list(cores) if cores is not None else usable_cores()
    kind, _, wanted = setting.partition(":")
    if kind == "cpu":
        return _cpus(int(wanted) if wanted else len(usable), usable)
    n_gpus = count_gpus()
    if kind == "auto" and n_gpus == 0:
        return _cpus(len(usable), usable)
    indexes = [int(index) for index in wanted.split(",")] if wanted else list(range(n_gpus))
    absent = [index for index in indexes if index >= n_gpus]
    if absent or not indexes:
        raise ServiceDown(
            "cuda", f"HPSEARCH_DEVICES is {setting!r}, but torch sees {n_gpus} usable GPUs here"
        )
    return tuple(_gpu(index, visible) for index in dict.fromkeys(indexes))


def usable_cores() -> list[int]:
    """Return the cores this process may use, as many as a container's quota pays for.

    Where a core runs two threads, each is a core to the system. The first threads of all cores
    come first, so that few trainers do not share one core while others are idle.
    """
    cores = spread(os.sched_getaffinity(0), _threads_beside)
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        limit, _, period = quota.read_text().partition(" ")
        if limit.isdigit() and int(period) > 0:
            cores = cores[: max(1, math.ceil(int(limit) / int(period)))]
    return cores


def spread(cores: Iterable[int], threads_beside: Callable[[int], set[int]]) -> list[int]:
    """Return cores in their order, but second threads of a core behind all first ones.

    Args:
        cores: Their numbers.
        threads_beside: Returns the numbers that a core goes by, the asked one among them.
    """
    usable = set(cores)

    def place(core: int) -> tuple[int, int]:
        return len([one for one in threads_beside(core) & usable if one < core]), core

    return sorted(usable, key=place)


def _threads_beside(core: int) -> set[int]:
    file = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        parts = [part.split("-") for part in file.read_text().strip().split(",")]
        return {one for part in parts for one in range(int(part[0]), int(part[-1]) + 1)}
    except (OSError, ValueError):  # the system does not say
        return {core}


def count_usable_gpus() -> int:
    """Return how many GPUs torch can use; without a driver on this machine it is not asked.

    A process of its own answers, so that this one loads neither torch nor CUDA.
    """
    if not _has_driver():
        return 0
    probe = subprocess.run(  # noqa: S603 - a constant
        [sys.executable, "-P", "-c", _PROBE],
        capture_output=True,
        text=True,
        timeout=PROBE_S,
        check=False,
    )
    answer = probe.stdout.strip().splitlines()
    return int(answer[-1]) if probe.returncode == 0 and answer else 0


def _has_driver() -> bool:
    files = (Path("/dev/nvidia0"), Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))
    return any(path.exists() for path in files) or shutil.which("nvidia-smi") is not None


def _cpus(n: int, cores: Sequence[int]) -> tuple[Device, ...]:
    environment = {**dict.fromkeys(_ONE_THREAD, "1"), "CUDA_VISIBLE_DEVICES": ""}
    return tuple(
        Device(f"cpu{index}", "cpu", cores[index % len(cores)], environment)
        for index in range(max(1, n))
    )


def _gpu(index: int, visible: str | None) -> Device:
    names = [name.strip() for name in visible.split(",")] if visible else []
    name = names[index] if index < len(names) else str(index)
    return Device(f"cuda{index}", "cuda:0", None, {"CUDA_VISIBLE_DEVICES": name})
