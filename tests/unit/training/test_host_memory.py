from pathlib import Path

import pytest
import torch

from hpsearch.training import capacity
from hpsearch.training.host_memory import available_bytes

GIB = 2**30
OF_V1 = "sys/fs/cgroup/memory"
UNLIMITED = 9223372036854771712  # how version 1 says it


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with 8 GiB to give."""
    write(tmp_path / "proc/meminfo", f"MemTotal: 9 kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    return tmp_path


def write(file: Path, text: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")


def of_v2(root: Path, group: str, limit: object, used: int, idle_files: int = 0) -> None:
    folder = root / "sys/fs/cgroup" / group
    write(folder / "memory.max", limit)
    write(folder / "memory.current", used)
    write(folder / "memory.stat", f"anon 5\nactive_file 7\ninactive_file {idle_files}")


def of_v1(root: Path, group: str, limit: int, used: int, idle_files: int = 0) -> None:
    folder = root / OF_V1 / group
    write(folder / "memory.limit_in_bytes", limit)
    write(folder / "memory.usage_in_bytes", used)
    write(folder / "memory.stat", f"inactive_file 1\ntotal_inactive_file {idle_files}")


def am_in(root: Path, *groups: str) -> None:
    write(root / "proc/self/cgroup", "\n".join(groups))


def test_without_groups_the_machine_decides(root: Path) -> None:
    assert available_bytes(root) == 8 * GIB


def test_a_container_may_take_what_its_limit_leaves(root: Path) -> None:
    am_in(root, "0::/")
    of_v2(root, "", 4 * GIB, used=3 * GIB)
    assert available_bytes(root) == GIB


def test_files_that_would_give_way_count_as_free(root: Path) -> None:
    am_in(root, "0::/")
    of_v2(root, "", 4 * GIB, used=3 * GIB, idle_files=2 * GIB)
    assert available_bytes(root) == 3 * GIB


def test_no_more_is_free_than_the_limit(root: Path) -> None:
    am_in(root, "0::/")
    of_v2(root, "", 4 * GIB, used=GIB, idle_files=2 * GIB)  # read at two moments
    assert available_bytes(root) == 4 * GIB


def test_max_is_no_limit(root: Path) -> None:
    am_in(root, "0::/")
    of_v2(root, "", "max", used=30 * GIB)
    assert available_bytes(root) == 8 * GIB


def test_a_limit_above_what_the_machine_has_is_none(root: Path) -> None:
    am_in(root, "0::/")
    of_v2(root, "", 64 * GIB, used=GIB)
    assert available_bytes(root) == 8 * GIB


def test_nothing_is_left_beyond_a_limit(root: Path) -> None:
    am_in(root, "0::/")
    of_v2(root, "", GIB, used=2 * GIB)
    assert available_bytes(root) == 0


def test_a_group_around_the_own_one_limits_too(root: Path) -> None:
    am_in(root, "0::/pods/pod7/worker")
    of_v2(root, "pods/pod7/worker", 6 * GIB, used=GIB)
    of_v2(root, "pods/pod7", 5 * GIB, used=4 * GIB, idle_files=GIB)
    of_v2(root, "pods", "max", used=20 * GIB)
    of_v2(root, "pods/pod8", GIB, used=GIB)  # somebody else's
    assert available_bytes(root) == 2 * GIB


def test_version_1_counts_files_of_the_groups_inside(root: Path) -> None:
    am_in(root, "5:cpu,cpuacct:/else", "4:memory:/docker/abc", "0::/")
    of_v1(root, "docker/abc", 3 * GIB, used=2 * GIB, idle_files=GIB)
    of_v1(root, "docker", UNLIMITED, used=20 * GIB)
    of_v1(root, "else", GIB, used=GIB)
    assert available_bytes(root) == 2 * GIB


def test_a_path_of_the_machine_does_not_hide_the_own_limit(root: Path) -> None:
    am_in(root, "4:memory:/docker/abc")
    of_v1(root, "", 3 * GIB, used=2 * GIB)  # of the container, which sees no group but its own
    assert available_bytes(root) == GIB


def test_nothing_outside_of_the_groups_folder_is_read(root: Path) -> None:
    am_in(root, "0::/../../elsewhere")
    of_v2(root, "../../elsewhere", GIB, used=GIB)
    of_v2(root, "", 4 * GIB, used=GIB)
    assert available_bytes(root) == 3 * GIB


@pytest.mark.parametrize("text", ["", "nonsense", "0:", "4:memory"])
def test_a_list_of_groups_nobody_understands_is_no_limit(root: Path, text: str) -> None:
    am_in(root, text)
    assert available_bytes(root) == 8 * GIB


def test_where_the_use_is_not_said_there_is_no_limit(root: Path) -> None:
    am_in(root, "0::/")
    write(root / "sys/fs/cgroup/memory.max", GIB)
    assert available_bytes(root) == 8 * GIB


def test_a_cpu_has_what_this_process_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "available_bytes", lambda: 12.0)
    assert capacity.free_bytes(torch.device("cpu")) == 12.0


def test_this_machine_has_something_to_give() -> None:
    assert available_bytes() > 0
