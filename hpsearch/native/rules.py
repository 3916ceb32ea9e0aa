"""Update rules, number by number: those of ``hpsearch.optimizers``, as kernels compute them.

Each is given weights, their gradient, the rule's running values, and the lane's coefficients of
this step by name; it returns the new weights and running values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it needs llvmlite, which is not installed everywhere
    from hpsearch.native.emitter import Vector

Rule = Callable[..., tuple["Vector", list["Vector"]]]
_Values = Sequence["Vector"]
_Coefficients = Mapping[str, "Vector"]


def sgd(
    w: "Vector", g: "Vector", buffers: _Values, c: _Coefficients
) -> tuple["Vector", list["Vector"]]:
    """Step along the momentum, or beyond it where the lane looks ahead."""
    v = buffers[0].fma(c["momentum"], g)
    ahead = v.fma(c["lookahead"], g)
    direction = ahead.where(c["nesterov"].exceeds(0.0), v)
    return w - direction * c["learning_rate"], [v]


def adagrad(
    w: "Vector", g: "Vector", buffers: _Values, c: _Coefficients
) -> tuple["Vector", list["Vector"]]:
    """Step by the gradient over the root of all its squares so far."""
    s = g.fma(g, buffers[0])
    return w - g * c["learning_rate"] / (s.sqrt() + c["eps"]), [s]


def rmsprop(
    w: "Vector", g: "Vector", buffers: _Values, c: _Coefficients
) -> tuple["Vector", list["Vector"]]:
    """Step along the momentum of the scaled gradient."""
    s = buffers[0].fma(c["alpha"], g * c["new"] * g)
    v = buffers[1].fma(c["momentum"], g / (s.sqrt() + c["eps"]))
    return w - v * c["learning_rate"], [s, v]


def adam(
    w: "Vector", g: "Vector", buffers: _Values, c: _Coefficients
) -> tuple["Vector", list["Vector"]]:
    """Step by mean over the root of the mean square; before it, decay where ``keep`` says so."""
    m = buffers[0].fma(c["beta1"], g * c["new1"])
    s = buffers[1].fma(c["beta2"], g * c["new2"] * g)
    if "keep" in c:
        w = w * c["keep"]
    return w - m * c["step_size"] / (s.sqrt() / c["root_correction"] + c["eps"]), [m, s]


def adamax(
    w: "Vector", g: "Vector", buffers: _Values, c: _Coefficients
) -> tuple["Vector", list["Vector"]]:
    """Step by mean over the largest gradient that is remembered."""
    m = buffers[0].fma(c["beta1"], g * c["new1"])
    u = (buffers[1] * c["beta2"]).maximum(g.abs() + c["eps"])
    return w - m * c["step_size"] / u, [m, u]


_MOMENTS = ("beta1", "beta2", "new1", "new2", "step_size", "root_correction", "eps")


@dataclass(frozen=True, slots=True)
class Native:
    """A rule as a kernel knows it.

    Attributes:
        take: What it does to some numbers.
        n_buffers: Running values it keeps.
        coefficients: Names of them, in the order of a table's columns.
    """

    take: Rule
    n_buffers: int
    coefficients: tuple[str, ...]


RULES: dict[str, Native] = {
    "sgd": Native(sgd, 1, ("learning_rate", "momentum", "lookahead", "nesterov")),
    "adagrad": Native(adagrad, 1, ("learning_rate", "eps")),
    "rmsprop": Native(rmsprop, 2, ("learning_rate", "momentum", "alpha", "new", "eps")),
    "adam": Native(adam, 2, _MOMENTS),
    "adamw": Native(adam, 2, (*_MOMENTS, "keep")),
    "adamax": Native(adamax, 2, ("beta1", "beta2", "new1", "step_size", "eps")),
}
"""By name."""
