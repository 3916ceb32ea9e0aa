"""The IDX reader takes whole, exact files and nothing else."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpsearch.datasets.idx import DamagedFileError, read_idx

IMAGES = np.arange(3 * 2 * 4, dtype=np.uint8).reshape(3, 2, 4)


def idx(array: np.ndarray, sizes: tuple[int, ...] | None = None) -> bytes:
    axes = array.shape if sizes is None else sizes
    header = bytes([0, 0, 8, len(axes)]) + b"".join(size.to_bytes(4, "big") for size in axes)
    return header + array.tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_is_read_plain_or_gzipped_whatever_its_name(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = write(tmp_path / "images", pack(idx(IMAGES)))
    array, digest = read_idx(path, (None, 2, 4))
    np.testing.assert_array_equal(array, IMAGES)
    assert digest == hashlib.sha256(idx(IMAGES)).hexdigest()


BROKEN = {
    "empty": (b"", "ends within its header"),
    "two bytes": (b"\x00\x00", "ends within its header"),
    "half a header": (idx(IMAGES)[:9], "ends within its header"),
    "another type": (b"\x00\x00\x0d" + idx(IMAGES)[3:], "first bytes are 00000d03"),
    "other dimensions": (idx(IMAGES.reshape(-1)), "3 dimensions"),
    "a web page": (b"<!doctype html><html>" * 9, "first bytes"),
    "another shape": (idx(np.zeros((3, 4, 2), np.uint8)), r"announces the shape \(3, 4, 2\)"),
    "no examples": (idx(IMAGES[:0]), "announces 0 bytes"),
    "a byte missing": (idx(IMAGES)[:-1], "only 23"),
    "a byte too many": (idx(IMAGES) + b"\x00", "there are more"),
    "a huge claim": (idx(IMAGES, (2**32 - 1, 2, 4)), "announces 34,359,738,360 bytes"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_wrong_file_is_refused_with_what_is_wrong(
    content: bytes, message: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = write(tmp_path / "images", pack(content))
    with pytest.raises(DamagedFileError, match=message):
        read_idx(path, (None, 2, 4))


@pytest.mark.parametrize("kept", [5, 15, 25, -9, -1])
def test_a_cut_gzip_file_is_refused(kept: int, tmp_path: Path) -> None:
    path = write(tmp_path / "images.gz", gzip.compress(idx(IMAGES))[:kept])
    with pytest.raises(DamagedFileError):
        read_idx(path, (None, 2, 4))


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(idx(IMAGES) + bytes(200_000_000), compresslevel=1)
    path = write(tmp_path / "images.gz", bomb)
    with pytest.raises(DamagedFileError, match="there are more"):
        read_idx(path, (None, 2, 4))
