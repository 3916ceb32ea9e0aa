import os

import pytest

from hpsearch.errors import ServiceDown
from hpsearch.worker.devices import Device, find_devices, spread, usable_cores


def found(setting: str, gpus: int, visible: str | None = None) -> tuple[Device, ...]:
    return find_devices(setting, visible, count_gpus=lambda: gpus, cores=[4, 5, 6])


def test_auto_is_one_pinned_trainer_per_core_without_a_gpu() -> None:
    devices = found("auto", gpus=0)
    assert [(device.name, device.kind, device.core) for device in devices] == [
        ("cpu0", "cpu", 4),
        ("cpu1", "cpu", 5),
        ("cpu2", "cpu", 6),
    ]


def test_auto_is_every_gpu_where_there_are_some() -> None:
    devices = found("auto", gpus=2)
    assert [(device.name, device.kind, device.core) for device in devices] == [
        ("cuda0", "cuda:0", None),
        ("cuda1", "cuda:0", None),
    ]


def test_a_cpu_trainer_has_one_thread_and_no_gpu() -> None:
    environment = found("cpu:1", gpus=2)[0].environment
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


def test_more_trainers_than_cores_share_them_in_turn() -> None:
    assert [device.core for device in found("cpu:4", gpus=0)] == [4, 5, 6, 4]


def test_cpu_alone_is_one_per_core() -> None:
    assert len(found("cpu", gpus=1)) == 3


@pytest.mark.parametrize(
    ("pairs", "order"),
    [
        pytest.param([{0, 1}, {2, 3}], [0, 2, 1, 3], id="threads of a core side by side"),
        pytest.param([{0, 2}, {1, 3}], [0, 1, 2, 3], id="all second threads behind"),
        pytest.param([{0}, {1}, {2}, {3}], [0, 1, 2, 3], id="one thread a core"),
        pytest.param([{0, 9}, {1, 8}, {2}, {3}], [0, 1, 2, 3], id="others are not ours"),
    ],
)
def test_few_trainers_do_not_share_a_core_of_two_threads(
    pairs: list[set[int]], order: list[int]
) -> None:
    assert spread([3, 2, 1, 0], lambda core: next(p for p in pairs if core in p)) == order


def test_every_core_of_this_machine_is_found_once() -> None:
    cores = usable_cores()
    assert len(set(cores)) == len(cores) >= 1
    assert set(cores) <= os.sched_getaffinity(0)


def test_a_gpu_trainer_sees_its_gpu_only() -> None:
    devices = found("cuda:0,2", gpus=3)
    assert [device.environment for device in devices] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "2"},
    ]


def test_indexes_count_within_the_visible_gpus() -> None:
    devices = found("cuda:1", gpus=2, visible="5, GPU-abc")
    assert devices[0].environment == {"CUDA_VISIBLE_DEVICES": "GPU-abc"}


@pytest.mark.parametrize(("setting", "gpus"), [("cuda", 0), ("cuda:1", 1), ("cuda:0,7", 4)])
def test_absent_gpus_are_an_error_that_names_the_setting(setting: str, gpus: int) -> None:
    with pytest.raises(ServiceDown, match=f"HPSEARCH_DEVICES is '{setting}'"):
        found(setting, gpus)
