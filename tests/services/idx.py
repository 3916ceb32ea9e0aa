"""A tiny MNIST: files of the real names and format, a few hundred learnable pictures."""

import gzip
from pathlib import Path

import numpy as np

SIDE = 28
CLASSES = 10
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "t10k": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def has_mnist(folder: Path) -> bool:
    """Return whether the four files of MNIST lie in ``folder/mnist``."""
    names = [name for pair in FILES.values() for name in pair]
    return all(
        (folder / "mnist" / name).exists()
        or (folder / "mnist" / name.removesuffix(".gz")).exists()
        for name in names
    )


def write_tiny_mnist(folder: Path, n_train: int = 600, n_test: int = 200) -> Path:
    """Write the four files into ``folder/mnist`` and return ``folder``.

    Every class is a fixed random pattern plus noise, so that a small network learns it.
    """
    (folder / "mnist").mkdir(parents=True)
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 256, (CLASSES, SIDE, SIDE))
    for (images_name, labels_name), count in zip(FILES.values(), (n_train, n_test), strict=True):
        labels = np.arange(count) % CLASSES
        noise = generator.integers(0, 256, (count, SIDE, SIDE))
        images = (patterns[labels] * 2 + noise) // 3
        _write(folder / "mnist" / images_name, images.astype(np.uint8))
        _write(folder / "mnist" / labels_name, labels.astype(np.uint8))
    return folder


def _write(path: Path, array: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> None:
    header = bytes([0, 0, 8, array.ndim])  # two zeros, unsigned bytes, number of axes
    axes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write(header + axes + array.tobytes())
