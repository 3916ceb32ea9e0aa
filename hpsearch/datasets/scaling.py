"""From raw values to what a network sees, and back: kept beside the models of a study."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

FILE = "scaling.safetensors"
"""Its name in the folder of a study's artifacts."""

_NAMES = ("input_shift", "input_factor", "target_shift", "target_scale")


@dataclass(frozen=True, slots=True)
class Scaling:
    """A network sees ``(x - input_shift) * input_factor``; it says ``(y - shift) / scale``.

    Attributes:
        input_shift: float64, one for all features or one each.
        input_factor: As many.
        target_shift: float64, one a target column; zeros for classes.
        target_scale: As many; ones for classes.
    """

    input_shift: NDArray[np.float64]
    input_factor: NDArray[np.float64]
    target_shift: NDArray[np.float64]
    target_scale: NDArray[np.float64]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the four arrays by name."""
        return {name: np.atleast_1d(getattr(self, name)) for name in _NAMES}


def save_scaling(folder: Path, scaling: Scaling) -> None:
    """Write the scaling into a study's folder, unless it is there: it never changes.

    Raises:
        OSError: The folder cannot be written.
    """
    path = folder / FILE
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{FILE}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(save(scaling.arrays()))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load_scaling(folder: Path) -> Scaling | None:
    """Return the scaling of a study's folder; None if it is not there or damaged."""
    try:
        arrays = load_file(folder / FILE)
        return Scaling(*(arrays[name] for name in _NAMES))
    except (OSError, SafetensorError, KeyError):
        return None
