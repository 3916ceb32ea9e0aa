"""A strict reader of IDX files, plain or gzipped."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

_MAX_BYTES = 2**30  # twenty times MNIST: a header that claims more is damaged or hostile
_GZIP_MAGIC = b"\x1f\x8b"
_UINT8 = 0x08


class DamagedFileError(ValueError):
    """The file is not the IDX file it should be; the message says what is wrong."""


def read_idx(path: Path, shape: tuple[int | None, ...]) -> tuple[NDArray[np.uint8], str]:
    """Return the array in an IDX file of unsigned bytes, and the SHA-256 of its plain bytes.

    Whether the file is gzipped is seen from its first bytes, not from its name. Never more than
    the header announces (one byte further, to notice surplus) is decompressed.

    Args:
        path: The file.
        shape: What the array must look like; None for a size that is free.

    Raises:
        DamagedFileError: Anything but a whole, exact IDX file of that shape.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        try:
            if is_gzip:
                with gzip.GzipFile(fileobj=file) as plain:
                    return _parse(cast(BinaryIO, plain), shape)
            return _parse(file, shape)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DamagedFileError(f"its compression is damaged: {error}") from error


def _parse(file: BinaryIO, shape: tuple[int | None, ...]) -> tuple[NDArray[np.uint8], str]:
    magic = _read_exactly(file, 4)
    if magic != bytes([0, 0, _UINT8, len(shape)]):
        raise DamagedFileError(
            f"its first bytes are {magic.hex()}, an IDX file of unsigned bytes with "
            f"{len(shape)} dimensions starts with 000008{len(shape):02x}"
        )
    header = _read_exactly(file, 4 * len(shape))
    sizes = tuple(int(size) for size in np.frombuffer(header, dtype=">u4"))
    if any(want is not None and want != got for want, got in zip(shape, sizes, strict=True)):
        wanted = tuple("any" if size is None else size for size in shape)
        raise DamagedFileError(f"its header announces the shape {sizes}, expected {wanted}")
    n_bytes = math.prod(sizes)
    if not 0 < n_bytes <= _MAX_BYTES:
        raise DamagedFileError(f"its header announces {n_bytes:,} bytes")
    payload = file.read(n_bytes + 1)
    if len(payload) != n_bytes:
        more_or_less = "more" if len(payload) > n_bytes else f"only {len(payload):,}"
        raise DamagedFileError(f"its header announces {n_bytes:,} bytes, there are {more_or_less}")
    digest = hashlib.sha256(magic)
    digest.update(header)
    digest.update(payload)
    return np.frombuffer(payload, dtype=np.uint8).reshape(sizes).copy(), digest.hexdigest()


def _read_exactly(file: BinaryIO, n_bytes: int) -> bytes:
    data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise DamagedFileError("it ends within its header")
    return data
