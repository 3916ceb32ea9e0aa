"""How the weights of a stored model are distributed, tensor by tensor."""

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray


class Histogram(TypedDict):
    """The distribution of one tensor's numbers; facts and bins leave out what is not finite."""

    name: str
    shape: list[int]
    size: int
    nonfinite: int
    zeros: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    edges: list[float]
    counts: list[int]


def histograms(weights: Mapping[str, NDArray[Any]], bins: int) -> list[Histogram]:
    """Return the histogram of every weight matrix, bias and statistic, in the model's order.

    Args:
        weights: By their plain ``torch.nn`` names; what has no axis (a count) is left out.
        bins: Of equal width between the least and the greatest number.
    """
    return [_histogram(name, array, bins) for name, array in weights.items() if array.ndim]


def _histogram(name: str, array: NDArray[Any], bins: int) -> Histogram:
    every = array.astype(np.float64).ravel()
    values = every[np.isfinite(every)]
    counts, edges = np.histogram(values, bins) if values.size else (np.array([]), np.array([]))
    return {
        "name": name,
        "shape": list(array.shape),
        "size": every.size,
        "nonfinite": every.size - values.size,
        "zeros": int((values == 0).sum()),
        "min": float(values.min()) if values.size else None,
        "max": float(values.max()) if values.size else None,
        "mean": float(values.mean()) if values.size else None,
        "std": float(values.std()) if values.size else None,
        "edges": edges.tolist(),
        "counts": counts.astype(int).tolist(),
    }
