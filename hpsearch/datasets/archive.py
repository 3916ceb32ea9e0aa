"""An npz file as arrays: read member by member, block by block; nothing in it is executed."""

import ast
import io
import math
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from hpsearch.datasets.complaints import Complaints, refuse
from hpsearch.datasets.labels import (
    MAX_CLASSES,
    MAX_LABEL_CHARS,
    numbered,
    plain_number,
    rare_classes,
)
from hpsearch.datasets.stored import Understood, create_array
from hpsearch.spec.sections import Task

PLAIN = ("x", "y")
SPLIT = ("x_train", "y_train")
TEST = ("x_test", "y_test")
MIN_EXAMPLES = 3
_MAX_DIRECTORY_BYTES = 1024**2  # four members take 300 bytes
_MAX_HEADER_BYTES = 10_000  # numpy's own limit: longer literals may crash the parser
_BLOCK_BYTES = _MAX_DIRECTORY_BYTES
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
_NONSENSE = (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError)


def read_archive(
    path: Path, folder: Path, *, target: str | None, task: Task | None, max_bytes: int
) -> Understood:
    """Write the arrays of an npz file into ``folder`` and return what they are.

    Args:
        path: Holds ``x, y`` or ``x_train, y_train[, x_test, y_test]``.
        folder: Where the arrays go; what is unpacked lies there too, for a while.
        target: Must be None: an archive has no columns.
        task: What it is; inferred from the type of the targets if None.
        max_bytes: Most that all arrays together may take.

    Raises:
        RequestInvalid: It is anything else, or holds what cannot be trained on.
        OSError: The folder cannot be written.
    """
    if target is not None:
        refuse("target", "has a meaning for CSV only: an npz file names its targets y", target)
    raw = _unpacked(path, folder, max_bytes)
    try:
        return _understood(raw, folder, task, max_bytes)
    finally:
        for name in raw:
            (folder / f"{name}.raw").unlink(missing_ok=True)


# --- the container -------------------------------------------------------------------------------


class _Wary(io.FileIO):
    """A file that hands out small pieces only: a directory of a gigabyte is never read."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > _MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size) or b""


def _unpacked(path: Path, folder: Path, max_bytes: int) -> dict[str, NDArray[Any]]:
    """Return the members as memory maps of files in ``folder``."""
    try:
        with _Wary(str(path)) as file, zipfile.ZipFile(file) as archive:
            members = _members(archive, max_bytes)
            return {
                name: _extracted(archive, member, name, folder) for name, member in members.items()
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        refuse("file", f"is no npz file: {error}")
    except (RuntimeError, UnicodeDecodeError, OverflowError) as error:
        refuse("file", f"is no npz file that can be read: {error}")  # encrypted, or nonsense


def _members(archive: zipfile.ZipFile, max_bytes: int) -> dict[str, zipfile.ZipInfo]:
    found = archive.infolist()
    names = [member.filename.removesuffix(".npy") for member in found]
    allowed = {frozenset(PLAIN), frozenset(SPLIT), frozenset(SPLIT + TEST)}
    if frozenset(names) not in allowed or len(set(names)) != len(names):
        shown = ", ".join(repr(name[:40]) for name in names[:8]) or "nothing"
        refuse(
            "file",
            f"must hold x and y, or x_train, y_train and perhaps x_test, y_test; it has {shown}",
        )
    if any(member.compress_type not in _METHODS for member in found):
        refuse("file", "must be stored or deflated, as numpy.savez and savez_compressed do")
    n_bytes = sum(member.file_size for member in found)
    if n_bytes > max_bytes:
        refuse("file", f"unpacks to {n_bytes:,} bytes, at most {max_bytes:,}")
    return dict(zip(names, found, strict=True))


def _extracted(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, folder: Path
) -> NDArray[Any]:
    with archive.open(member) as source:
        shape, is_fortran, dtype = _header(source, name)
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes != member.file_size - source.tell():
            refuse(
                name,
                f"announces {n_bytes:,} bytes of data, there are "
                f"{max(0, member.file_size - source.tell()):,}",
            )
        if n_bytes == 0:
            refuse(name, f"is empty: its shape is {shape}")
        path = folder / f"{name}.raw"
        with path.open("wb") as copy:
            os.posix_fallocate(copy.fileno(), 0, n_bytes)
            left = n_bytes
            while left:
                block = source.read(min(left, _BLOCK_BYTES))
                if not block:
                    refuse(name, "ends too early")
                copy.write(block)
                left -= len(block)
            if source.read(1):  # reads to the end, where the checksum is compared
                refuse(name, "holds more than its header announces")
    return np.memmap(path, dtype, mode="r", shape=shape, order="F" if is_fortran else "C")


def _header(source: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type as the member announces them.

    Read here and not by numpy, which repairs headers of Python 2 with a tokenizer that was not
    made for hostile text.
    """
    try:
        version = npy.read_magic(source)
        n_bytes = int.from_bytes(source.read(_LENGTH_BYTES[version]), "little")
        if n_bytes > _MAX_HEADER_BYTES:
            raise ValueError(f"its header has {n_bytes:,} bytes")
        facts = ast.literal_eval(source.read(n_bytes).decode("utf-8"))
        shape, is_fortran, descr = (facts[key] for key in ("shape", "fortran_order", "descr"))
        if not isinstance(descr, str):
            raise ValueError("it holds records")
        dtype = np.dtype(descr)
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("its shape is impossible")
    except _NONSENSE as error:
        refuse(name, f"is no plain NumPy array: {str(error)[:200]}")
    if dtype.hasobject:
        refuse(name, "holds Python objects, which are never loaded: save it as numbers")
    if dtype.names is not None or dtype.subdtype is not None or dtype.itemsize == 0:
        refuse(name, "must have one number a cell, not records", str(dtype)[:100])
    return shape, bool(is_fortran), dtype


# --- the arrays ----------------------------------------------------------------------------------


def _understood(
    raw: Mapping[str, NDArray[Any]], folder: Path, task: Task | None, max_bytes: int
) -> Understood:
    x_name, y_name = PLAIN if "x" in raw else SPLIT
    parts = [(x_name, y_name), *([TEST] if "x_test" in raw else [])]
    complaints = Complaints()
    for x_part, y_part in parts:
        _check_pair(raw, x_part, y_part, complaints)
    complaints.raise_if_any()
    x, y = raw[x_name], raw[y_name]
    if len(x) < MIN_EXAMPLES:
        refuse(x_name, f"has {len(x)} examples, at least {MIN_EXAMPLES} are needed")
    if "x_test" in raw and raw["x_test"].shape[1:] != x.shape[1:]:
        refuse("x_test", f"has examples of {raw['x_test'].shape[1:]}, x_train of {x.shape[1:]}")
    kept = sum(raw[name].size * _kept_as(raw[name].dtype).itemsize for name, _ in parts)
    if kept > max_bytes:
        refuse("file", f"takes {kept:,} bytes as numbers a network reads, at most {max_bytes:,}")
    for (name, _), kept_name in zip(parts, ("x_train", "x_test"), strict=False):
        _store_inputs(raw[name], name, folder, kept_name, complaints)
    complaints.raise_if_any()
    asked = task or _task_of(y)
    targets = [(name, np.asarray(raw[name])) for _, name in parts]
    stored = ("y_train", "y_test")
    if asked is Task.CLASSIFICATION:
        n_outputs, outputs, warnings = _store_classes(targets, folder, stored)
    else:
        n_outputs, outputs, warnings = *_store_amounts(targets, folder, stored), list[str]()
    return Understood(
        task=asked,
        input_shape=tuple(int(size) for size in x.shape[1:]),
        n_outputs=n_outputs,
        n_examples=len(x),
        n_test_examples=len(raw["x_test"]) if "x_test" in raw else None,
        outputs=outputs,
        columns=[
            {"name": name, "kind": "array", "dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in raw.items()
        ],
        warnings=warnings,
    )


def _check_pair(raw: Mapping[str, NDArray[Any]], x: str, y: str, wrong: Complaints) -> None:
    shape, kind = raw[x].shape, raw[x].dtype.kind
    if len(shape) not in {2, 3}:
        expected = "[n, features], [n, height, width] or [n, steps, features]"
        wrong.add(x, f"must have the shape {expected}, got {list(shape)}")
    if kind not in "buif" or raw[x].dtype.itemsize > 8:
        wrong.add(x, "must be numbers of at most 64 bits", str(raw[x].dtype)[:100])
    if raw[y].dtype.kind not in "buifU" or (raw[y].dtype.kind == "f" and raw[y].itemsize > 8):
        wrong.add(y, "must be numbers or text", str(raw[y].dtype)[:100])
    elif raw[y].dtype.itemsize > 4 * MAX_LABEL_CHARS:
        wrong.add(y, f"has class names of more than {MAX_LABEL_CHARS} characters")
    n_examples = shape[0] if shape else 0
    if raw[y].ndim not in {1, 2} or raw[y].shape[0] != n_examples:
        wrong.add(
            y,
            f"must have one row for each of the {n_examples:,} examples of {x}, got "
            f"{list(raw[y].shape)}",
        )


def _kept_as(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type inputs are stored in: bytes as they are, others without loss."""
    if dtype == np.uint8:
        return np.dtype(np.uint8)
    is_exact = dtype.kind == "b" or dtype.itemsize <= 2 or dtype.str[1:] == "f4"
    return np.dtype(np.float32 if is_exact else np.float64)


def _store_inputs(
    raw: NDArray[Any], name: str, folder: Path, stored: str, wrong: Complaints
) -> None:
    kept = create_array(folder, stored, _kept_as(raw.dtype), raw.shape)
    n_rows = max(1, _BLOCK_BYTES // max(1, raw[0].nbytes))
    for begin in range(0, len(raw), n_rows):
        block = np.asarray(raw[begin : begin + n_rows]).astype(kept.dtype)
        if kept.dtype.kind == "f" and not np.isfinite(block).all():
            _complain_of_nan(block, begin, name, wrong)
            return
        kept[begin : begin + n_rows] = block
    kept.flush()  # type: ignore[attr-defined]  # a memory map


def _complain_of_nan(block: NDArray[Any], begin: int, name: str, wrong: Complaints) -> None:
    place = np.argwhere(~np.isfinite(block))[0]
    at = [int(place[0]) + begin, *(int(index) for index in place[1:])]
    wrong.add(name, f"holds {block[tuple(place)]} at {at}: fill it in or leave the example out")


def _task_of(y: NDArray[Any]) -> Task:
    """Return what targets without further notice ask for: their type says it."""
    if y.dtype.kind == "f" or (y.ndim == 2 and y.shape[1] > 1):
        return Task.REGRESSION
    if y.dtype.kind in "iu" and len(np.unique(y)) > MAX_CLASSES:
        return Task.REGRESSION
    return Task.CLASSIFICATION


def _store_classes(
    targets: list[tuple[str, NDArray[Any]]], folder: Path, stored: tuple[str, str]
) -> tuple[int, tuple[str, ...], list[str]]:
    labels = [_labels(name, y) for name, y in targets]
    counts = Counter(labels[0])
    classes = numbered(
        list(dict.fromkeys(label for part in labels for label in part)), targets[0][0]
    )
    for part, name in zip(labels, stored, strict=False):
        y = np.fromiter((classes[label] for label in part), np.int64, len(part))
        create_array(folder, name, np.int64, y.shape)[:] = y
    unseen = [name for name in classes if name not in counts]
    warnings = rare_classes(counts)
    if unseen:
        warnings.append(f"classes in the test split alone: {', '.join(unseen[:5])}")
    return len(classes), tuple(classes), warnings


def _labels(name: str, y: NDArray[Any]) -> list[str]:
    if y.ndim == 2:
        if y.shape[1] != 1:
            refuse(name, f"must be one class number an example, got the shape {list(y.shape)}")
        y = y[:, 0]
    if y.dtype.kind == "U":
        return [str(label) for label in y]
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    if y.dtype.kind == "f" and not np.array_equal(y, np.rint(y)):  # NaN is unequal too
        refuse(name, "has classes that are no whole numbers: say ?task=regression")
    if len(np.unique(y)) > MAX_CLASSES:
        refuse(
            name,
            f"has {len(np.unique(y)):,} different values, more than {MAX_CLASSES:,} classes: if "
            "they are amounts, say ?task=regression",
        )
    return [plain_number(value) for value in y.tolist()]


def _store_amounts(
    targets: list[tuple[str, NDArray[Any]]], folder: Path, stored: tuple[str, str]
) -> tuple[int, tuple[str, ...]]:
    columns = []
    for name, y in targets:
        if y.dtype.kind == "U":
            refuse(name, "must be numbers for a regression")
        column = y.astype(np.float64).reshape(len(y), -1)
        if not np.isfinite(column).all():
            complaints = Complaints()
            _complain_of_nan(column, 0, name, complaints)
            complaints.raise_if_any()
        columns.append(column)
    if len({column.shape[1] for column in columns}) > 1:
        refuse(targets[-1][0], f"has {columns[-1].shape[1]} columns, y_train has others")
    if (columns[0].min(0) == columns[0].max(0)).any():
        refuse(targets[0][0], "is the same for every example: there is nothing to learn")
    for column, name in zip(columns, stored, strict=False):
        create_array(folder, name, np.float64, column.shape)[:] = column
    return columns[0].shape[1], ()
