"""What uploads take and infer; tests of the API play what is refused."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hpsearch.datasets.archive import read_archive
from hpsearch.datasets.labels import task_of_numbers
from hpsearch.datasets.splits import split
from hpsearch.datasets.stored import Understood, load_stored
from hpsearch.datasets.table import read_table
from hpsearch.spec.sections import DatasetInfo, DatasetSection, Task, n_trained_on

MB = 1024**2


def table(folder: Path, text: str, target: str | None = None) -> Understood:
    path = folder / "table.csv"
    path.write_text(text)
    return read_table(path, folder, target=target, task=None, max_bytes=MB)


def test_an_archive_is_never_whole_in_memory(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((2**16, 64))  # 32 MB
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(2**16) % 3)
    del x
    tracemalloc.start()
    try:
        read_archive(tmp_path / "a.npz", tmp_path, target=None, task=None, max_bytes=100 * MB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * MB  # blocks of one, and the targets as labels
    assert not list(tmp_path.glob("*.raw"))


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1, 0, 1], Task.CLASSIFICATION),
        ([1.0, 2.0, 3.0, 1.0, 2.0, 3.0], Task.CLASSIFICATION),
        ([0.5, 1, 0, 1], Task.REGRESSION),
        ([1, 2, 3, 4], Task.REGRESSION),
        (list(range(51)) * 3, Task.REGRESSION),
    ],
)
def test_the_task_follows_from_the_targets(values: list[float], task: Task) -> None:
    assert task_of_numbers(np.array(values, float)) is task


def test_classes_are_numbered_by_value_where_they_are_numbers(tmp_path: Path) -> None:
    made = table(
        tmp_path, "a,b\n" + "".join(f"{i}.5,{n}\n" for i, n in enumerate([10, 9, -1] * 4))
    )
    assert made.outputs == ("-1", "9", "10")
    assert np.load(tmp_path / "y_train.npy").tolist() == [2, 1, 0] * 4


def test_a_column_without_news_is_a_warning(tmp_path: Path) -> None:
    made = table(tmp_path, "a,b,c\n7,x,1.5\n7,x,2.5\n7,x,3.5\n")
    assert made.warnings == ["column 'a' is 7 in every row", "column 'b' is x in every row"]


def test_stored_arrays_are_split_like_any_others(tmp_path: Path) -> None:
    folder = tmp_path / "datasets" / "key"
    folder.mkdir(parents=True)
    x = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
    y = np.arange(10) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    made = read_archive(tmp_path / "a.npz", folder, target=None, task=None, max_bytes=MB)
    info = DatasetInfo(
        name="mine",
        task=made.task,
        input_shape=made.input_shape,
        n_outputs=made.n_outputs,
        has_test_split=True,
        n_examples=made.n_examples,
        stored="key",
    )
    section = DatasetSection(name="mine", validation_fraction=0.2)

    splits = split(load_stored(tmp_path, info), section, info.task)

    assert (len(splits.train), len(splits.validation), len(splits.test)) == (8, 2, 4)
    assert n_trained_on(info, section) == 8
    assert splits.test.x.tolist() == x[:4].reshape(4, 6).tolist()
    scaling = splits.scaling
    seen = (splits.train.x.astype(float) - scaling.input_shift) * scaling.input_factor
    assert seen.mean() == pytest.approx(0, abs=1e-9)
    assert seen.std() == pytest.approx(1)
