"""Data sets found on this machine: which files count, and what is said of damaged ones."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpsearch.datasets.base import REGISTRY
from hpsearch.datasets.digits import Digits
from hpsearch.datasets.fashion_mnist import SOURCE as FASHION_SOURCE
from hpsearch.datasets.fashion_mnist import FashionMnist
from hpsearch.datasets.idx import read_idx
from hpsearch.datasets.images import ImageSource, load_images
from hpsearch.datasets.mnist import SOURCE, Mnist
from hpsearch.errors import DatasetUnavailable
from tests.services.idx import write_tiny_mnist

OFFLINE = ImageSource("mnist", (), SOURCE.sha256)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_mnist(tmp_path / "datasets", n_train=40, n_test=20)


def test_the_digits_are_all_there() -> None:
    arrays = Digits().load(Path("nowhere"))
    assert arrays.x_train.shape == (1797, 8, 8)
    assert arrays.x_train.dtype == np.float32
    assert (arrays.x_train.min(), arrays.x_train.max()) == (0, 16)
    assert sorted(set(arrays.y_train.tolist())) == list(range(10))
    assert not arrays.has_test_split


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_facts_of_a_data_set_bear_its_name(name: str) -> None:
    assert REGISTRY[name]().info().name == name


def test_facts_and_arrays_agree(folder: Path) -> None:
    for dataset, arrays in ((Digits(), Digits().load(folder)), (Mnist(), Mnist().load(folder))):
        info = dataset.info()
        assert info.input_shape == arrays.input_shape
        assert info.n_outputs == arrays.n_outputs
        assert info.has_test_split == arrays.has_test_split


def as_they_are(_folder: Path) -> None: ...


def loose(folder: Path) -> None:
    for path in (folder / "mnist").iterdir():
        path.rename(folder / path.name)


def unpacked(folder: Path) -> None:
    for path in tuple((folder / "mnist").iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


@pytest.mark.parametrize("arrange", [as_they_are, loose, unpacked])
def test_files_are_found_gzipped_or_plain_in_their_folder_or_loose(
    arrange: Callable[[Path], None], folder: Path
) -> None:
    arrange(folder)
    arrays = load_images(OFFLINE, folder)
    assert arrays.x_train.shape == (40, 28, 28)
    assert arrays.x_train.dtype == np.uint8
    assert arrays.x_test is not None
    assert arrays.x_test.shape == (20, 28, 28)
    assert arrays.y_train.dtype == np.int64


def test_offline_the_error_names_every_file_and_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailable) as caught:
        load_images(OFFLINE, tmp_path)
    for name in SOURCE.sha256:
        assert f"{name}.gz" in str(caught.value)
    assert str(tmp_path / "mnist") in str(caught.value)


def test_a_folder_that_cannot_be_made_is_unavailable_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetUnavailable, match="Put these files into"):
        load_images(OFFLINE, tmp_path / "file")


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


def test_a_damaged_file_is_named(folder: Path) -> None:
    path = folder / "mnist" / "t10k-images-idx3-ubyte.gz"
    rewrite(path, lambda content: content[:-1])
    with pytest.raises(DatasetUnavailable, match=rf"{path} is damaged.*delete it"):
        load_images(OFFLINE, folder)


def test_a_label_beyond_the_classes_is_refused(folder: Path) -> None:
    rewrite(folder / "mnist" / "train-labels-idx1-ubyte.gz", lambda content: content[:-1] + b"\n")
    with pytest.raises(DatasetUnavailable, match="has the label 10; expected 0 to 9"):
        load_images(OFFLINE, folder)


def test_images_and_labels_of_different_counts_are_refused(folder: Path) -> None:
    labels = folder / "mnist" / "train-labels-idx1-ubyte.gz"
    rewrite(labels, lambda content: content[:7] + b"\x27" + content[8:-1])
    with pytest.raises(DatasetUnavailable, match=r"40 images.*39 labels"):
        load_images(OFFLINE, folder)


def test_loose_files_of_another_set_are_not_taken_for_ours(folder: Path) -> None:
    plain = {
        read_idx(path, (None,) * (3 if "idx3" in path.name else 1))[1]
        for path in (folder / "mnist").iterdir()
    }
    loose(folder)
    other = ImageSource("fashion_mnist", (), FASHION_SOURCE.sha256, not_ours=frozenset(plain))
    with pytest.raises(DatasetUnavailable, match="fashion_mnist"):
        FashionMnist().load(folder, other)
