"""Image sets of four IDX files: found beside the user's other data, else downloaded."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpsearch.datasets.base import Arrays, class_numbers
from hpsearch.datasets.download import DownloadFailedError, download, one_at_a_time
from hpsearch.datasets.idx import DamagedFileError, read_idx
from hpsearch.errors import DatasetUnavailable

_SIDE = 28
_CLASSES = 10
_MAX_DOWNLOAD_BYTES = 40_000_000  # the largest file of either set has 26 MB

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"

MNIST_PLAIN_SHA256: Final = frozenset(
    {
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
)
"""Checksums of MNIST's four files once unpacked, however they were packed."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where an image set comes from.

    Attributes:
        name: The data set's name, also its folder.
        mirrors: Base URLs of the gzipped files, tried in order.
        sha256: Of each gzipped file as published, by plain name.
        not_ours: Checksums (of files or of their plain bytes) of other sets that use the same
            file names: found loose in the data folder, they are taken for what they are.
    """

    name: str
    mirrors: tuple[str, ...]
    sha256: Mapping[str, str]
    not_ours: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Keep the checksums from being changed."""
        object.__setattr__(self, "sha256", MappingProxyType(dict(self.sha256)))


def load_images(source: ImageSource, folder: Path) -> Arrays:
    """Return the set's images as uint8 with their class numbers.

    Each file is looked for in ``folder/<name>/`` and then in ``folder``, gzipped or plain; the
    published files are downloaded into ``folder/<name>/`` if any of the four is absent.

    Raises:
        DatasetUnavailable: Absent and not to be had, or damaged.
    """
    x_train, y_train = _load_pair(source, folder, TRAIN_IMAGES, TRAIN_LABELS)
    x_test, y_test = _load_pair(source, folder, TEST_IMAGES, TEST_LABELS)
    return Arrays(x_train, y_train, _CLASSES, x_test, y_test)


def _load_pair(
    source: ImageSource, folder: Path, images_name: str, labels_name: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images_path = _obtain(source, folder, images_name)
    labels_path = _obtain(source, folder, labels_name)
    images = _read(images_path, (None, _SIDE, _SIDE))
    labels = _read(labels_path, (None,))
    if len(images) != len(labels):
        raise DatasetUnavailable(
            f"{images_path} has {len(images):,} images, {labels_path} has {len(labels):,} labels: "
            "they do not belong together"
        )
    if int(labels.max()) >= _CLASSES:
        raise DatasetUnavailable(
            f"{labels_path} has the label {int(labels.max())}; expected 0 to {_CLASSES - 1}"
        )
    return images, class_numbers(labels)


def _read(path: Path, shape: tuple[int | None, ...]) -> NDArray[Any]:
    try:
        return read_idx(path, shape)[0]
    except DamagedFileError as error:
        raise DatasetUnavailable(
            f"{path} is damaged: {error}; delete it, and it is downloaded again"
        ) from error
    except OSError as error:
        raise DatasetUnavailable(f"cannot read {path}: {error}") from error


def _obtain(source: ImageSource, folder: Path, name: str) -> Path:
    found = _find(source, folder, name)
    if found is not None:
        return found
    own = folder / source.name
    target = own / f"{name}.gz"
    try:
        own.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(own):
            found = _find(source, folder, name)  # another process was quicker
            if found is None:
                download(
                    source.mirrors,
                    target.name,
                    target,
                    sha256=frozenset({source.sha256[name]}),
                    max_bytes=_MAX_DOWNLOAD_BYTES,
                )
    except (DownloadFailedError, OSError) as error:
        names = ", ".join(f"{file}.gz" for file in source.sha256)
        raise DatasetUnavailable(
            f"data set {source.name!r} is not on this machine and cannot be downloaded. Put "
            f"these files into {own} (gzipped or plain): {names}. What was tried: {error}"
        ) from error
    return found or target


def _find(source: ImageSource, folder: Path, name: str) -> Path | None:
    for parent in (folder / source.name, folder):
        for path in (parent / f"{name}.gz", parent / name):
            if path.is_file() and not (parent == folder and _is_foreign(source, path)):
                return path
    return None


def _is_foreign(source: ImageSource, path: Path) -> bool:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() in source.not_ours:
            return True
    try:
        return read_idx(path, (None,) * (3 if "idx3" in path.name else 1))[1] in source.not_ours
    except DamagedFileError:
        return False  # reading it for good reports the damage
