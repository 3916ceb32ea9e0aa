"""All kernels there are, by name: what they take, and how they are written."""

from collections.abc import Mapping

from llvmlite import ir

from hpsearch.native.cells import EVERY, Cells
from hpsearch.native.dropout import drop
from hpsearch.native.emitter import Emitter
from hpsearch.native.examples import pick
from hpsearch.native.linear import Linear, scratch_bytes
from hpsearch.native.losses import cross_entropy
from hpsearch.native.tape import play
from hpsearch.native.tiles import Shape
from hpsearch.native.updates import update

__all__ = ["ARGUMENTS", "scratch_bytes", "write"]

_LAYER = ("lanes", "batch", "outputs", "inputs")
_SEQUENCE = ("lanes", "batch", "steps", "hidden", "rows")
_KEPT = ("gates", "gates_row", "before", "memory", "shown")
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "affine": (*_LAYER, "weight", "bias", "x", "x_lane", "x_row", "z", "scratch"),
    "input_gradient": (
        *(*_LAYER, "weight", "d", "d_lane", "d_row", "h", "factors", "out", "scratch"),
    ),
    "weight_gradient": (
        *(*_LAYER, "d", "d_lane", "d_row", "x", "x_lane", "x_row"),
        *("weight_out", "bias_out", "scratch"),
    ),
    "weight_step": (
        *(*_LAYER, "d", "d_lane", "d_row", "x", "x_lane", "x_row", "weight", "bias"),
        *("table", "scratch", "weight_first", "bias_first", "weight_second", "bias_second"),
        "signs",
    ),
    "update": ("lanes", "size", "weight", "gradient", "table", "is_decayed", "first", "second"),
    "cross_entropy": (
        *("lanes", "batch", "classes", "z", "d", "y", "y_lane", "smoothing", "sums"),
    ),
    "pick": ("lanes", "rows", "features", "source", "order", "order_lane", "scale", "out"),
    "drop": (
        *("lanes", "batch", "units", "h", "out", "factors", "places"),
        *("keys", "key_lane", "threshold", "scale", "last"),
    ),
    "cell_forward": (
        *(*_SEQUENCE, "inputs", "weight_ih", "weight_hh", "bias_ih", "bias_hh"),
        *("x", "x_lane", "x_row", *_KEPT, "out", "last", "scratch"),
    ),
    "cell_backward": (*_SEQUENCE, "weight_hh", *_KEPT, "d", "d_lane", "d_ah", "scratch"),
    "play": ("calls", "n_calls", "lanes", "first", "n_steps", "work"),
}
"""What each kernel takes, in order: whole numbers of 64 bits; strides are in bytes."""

DROPPED = " dropped"
"""Behind the name of an activation: an ``input_gradient`` that is multiplied by factors first."""
MEASURED = " measured"
"""Behind the name of a rule: a ``weight_step`` that adds up what the step was like, too."""


def lane_bytes(name: str, arguments: Mapping[str, int], size: int, columns: int) -> dict[str, int]:
    """Return how far it is, in each array a kernel is given, from one lane to the next.

    Args:
        name: Of the kernel.
        arguments: Of a call.
        size: Bytes of a number.
        columns: Of the table of coefficients.
    """
    a = arguments
    if name == "cross_entropy":
        z = a["batch"] * a["classes"] * size
        return {"z": z, "d": z, "y": a["y_lane"], "smoothing": size, "sums": 16}
    if name == "drop":
        h = a["batch"] * a["units"] * size
        rest = {"keys": a["key_lane"], "threshold": 4, "scale": size}
        return {"h": h, "out": h, "factors": h, **rest}
    if name == "pick":
        out = a["rows"] * a["features"] * size if a["order_lane"] else 0
        return {"order": a["order_lane"], "out": out}
    if name.startswith("cell_"):
        return _cell_lane_bytes(a, size)
    matrix, column = a["outputs"] * a["inputs"] * size, a["outputs"] * size
    above, below = a["batch"] * a["outputs"] * size, a["batch"] * a["inputs"] * size
    if name == "affine":
        return {"weight": matrix, "bias": column, "x": a["x_lane"], "z": above}
    if name == "input_gradient":
        return {
            "weight": matrix,
            "d": a["d_lane"],
            **dict.fromkeys(("h", "factors", "out"), below),
        }
    matrices = dict.fromkeys(("weight", "weight_first", "weight_second"), matrix)
    vectors = dict.fromkeys(("bias", "bias_first", "bias_second"), column)
    rest = {"d": a["d_lane"], "x": a["x_lane"], "table": columns * size, "signs": 24}
    return {**matrices, **vectors, **rest}


def _cell_lane_bytes(a: Mapping[str, int], size: int) -> dict[str, int]:
    n_steps, rows, hidden = a["batch"] * a["steps"], a["rows"] * size, a["hidden"] * size
    of_all = dict.fromkeys(("before", "memory", "shown", "out"), n_steps * hidden)
    of_gates = dict.fromkeys(("gates", "d_ah"), n_steps * a["gates_row"])
    found = {
        **{"weight_ih": a.get("inputs", 0) * rows, "weight_hh": a["hidden"] * rows},
        **{"bias_ih": rows, "bias_hh": rows, "x": a.get("x_lane", 0), "d": a.get("d_lane", 0)},
        **{**of_all, **of_gates, "last": a["batch"] * hidden},
    }
    return {which: n for which, n in found.items() if a.get(which)}  # nowhere stays nowhere


def write(module: ir.Module, name: str, shape: Shape, variant: str = "") -> None:
    """Write a kernel into a module, as a function of its name.

    Args:
        module: Where it goes.
        name: One of :data:`ARGUMENTS`.
        shape: How blocks are cut.
        variant: Of ``affine``: the activation that follows; of ``input_gradient``: the one whose
            derivative is multiplied by, which :data:`DROPPED` may follow; of ``weight_step``
            and ``update``: the rule, which :data:`MEASURED` may follow; of ``pick``: ``bytes`` or
            ``reals``, what examples are; of ``cell_forward`` and ``cell_backward``: the cell, one
            of :data:`hpsearch.native.cells.N_GATES`, which :data:`hpsearch.native.cells.EVERY`
            may follow in the latter.
    """
    emitter = Emitter(module, name)
    found = (emitter.argument(i) for i in range(len(ARGUMENTS[name])))
    arguments = dict(zip(ARGUMENTS[name], found, strict=True))
    linear = Linear(emitter, shape, arguments)
    if name == "affine":
        linear.affine(variant)
    elif name == "input_gradient":
        function = variant.removesuffix(DROPPED)
        linear.input_gradient(function, is_dropped=function != variant)
    elif name == "weight_gradient":
        linear.weight_gradient()
    elif name == "weight_step":
        rule = variant.removesuffix(MEASURED)
        linear.weight_step(rule, is_measured=rule != variant)
    elif name == "update":
        update(emitter, shape, arguments, variant)
    elif name == "cross_entropy":
        cross_entropy(emitter, shape, arguments)
    elif name == "drop":
        drop(emitter, shape, arguments)
    elif name == "cell_forward":
        Cells(emitter, shape, arguments, variant).forward()
    elif name == "cell_backward":
        cell = variant.removesuffix(EVERY)
        Cells(emitter, shape, arguments, cell).backward(has_all=cell != variant)
    elif name == "pick":
        pick(emitter, shape, arguments, variant)
    else:
        play(emitter, arguments)
    emitter.finish()
