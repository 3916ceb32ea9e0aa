"""How weights are drawn before training; biases start at zero."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

InitName = Literal[
    "he", "he_uniform", "xavier", "xavier_uniform", "normal", "uniform", "orthogonal"
]

_Rule = Callable[[int, int, float, np.random.Generator], NDArray[np.float64]]


def draw_weight(
    init: InitName, n_out: int, n_in: int, scale: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a weight matrix ``[n_out, n_in]``, scaled as ``torch.nn.init`` scales it.

    Args:
        init: Name of the rule.
        n_out: Units of the layer.
        n_in: Units before it.
        scale: Deviation of ``normal``, half width of ``uniform``; the others ignore it.
        rng: Where the numbers come from.
    """
    return _RULES[init](n_out, n_in, scale, rng)


def _normal(deviation: Callable[[int, int, float], float]) -> _Rule:
    def draw(n_out: int, n_in: int, scale: float, rng: np.random.Generator) -> NDArray[np.float64]:
        return rng.standard_normal((n_out, n_in)) * deviation(n_out, n_in, scale)

    return draw


def _uniform(half_width: Callable[[int, int, float], float]) -> _Rule:
    def draw(n_out: int, n_in: int, scale: float, rng: np.random.Generator) -> NDArray[np.float64]:
        bound = half_width(n_out, n_in, scale)
        return rng.uniform(-bound, bound, (n_out, n_in))

    return draw


def _orthogonal(
    n_out: int, n_in: int, _scale: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    tall = rng.standard_normal((max(n_out, n_in), min(n_out, n_in)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # without it the distribution is not uniform
    return np.ascontiguousarray(q if n_out >= n_in else q.T)


_RULES: dict[str, _Rule] = {
    "he": _normal(lambda _out, n_in, _scale: math.sqrt(2 / n_in)),
    "he_uniform": _uniform(lambda _out, n_in, _scale: math.sqrt(6 / n_in)),
    "xavier": _normal(lambda n_out, n_in, _scale: math.sqrt(2 / (n_in + n_out))),
    "xavier_uniform": _uniform(lambda n_out, n_in, _scale: math.sqrt(6 / (n_in + n_out))),
    "normal": _normal(lambda _out, _in, scale: scale),
    "uniform": _uniform(lambda _out, _in, scale: scale),
    "orthogonal": _orthogonal,
}
