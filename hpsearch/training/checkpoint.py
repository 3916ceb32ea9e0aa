"""A lane's state as a file: whole, checked, readable by nothing but numbers and JSON."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hpsearch.faults import Window, reached
from hpsearch.logs import get_logger
from hpsearch.training.lanes import LaneState

_FORMAT = "hpsearch-lane-1"

log = get_logger(__name__)


def save_state(path: Path, state: LaneState) -> None:
    """Write a lane's state to ``path``; when this returns, a crash no longer loses it.

    The file is written beside its place, synced and renamed, and the folder synced: there is
    the old file or the new one, never half of one.

    Raises:
        OSError: The folder cannot be written.
    """
    arrays = {  # numpy gives a number without axes one when it makes it contiguous
        name: np.ascontiguousarray(array).reshape(array.shape)
        for name, array in state.arrays.items()
    }
    facts = {
        "format": _FORMAT,
        "epoch": state.epoch,
        "meta": dict(state.meta),
        "sha256": _digest(arrays),
    }
    data = save(arrays, metadata={"lane": json.dumps(facts, allow_nan=False)})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data[: len(data) // 2])
            reached(Window.FILE_UNFINISHED)
            file.write(data[len(data) // 2 :])
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_state(path: Path) -> LaneState | None:
    """Return the state in ``path``, or None if it is missing, damaged or of another format."""
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get("lane", "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if facts["format"] != _FORMAT or facts["sha256"] != _digest(arrays):
            raise ValueError("format or checksum differ")
        return LaneState(epoch=int(facts["epoch"]), arrays=arrays, meta=facts["meta"])
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        log.warning("checkpoint_unreadable", path=str(path), reason=str(error)[:200])
        return None


def _digest(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape};".encode())
        digest.update(memoryview(arrays[name]).cast("B"))
    return digest.hexdigest()
