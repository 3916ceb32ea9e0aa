"""All kernels there are, by name: what they take, and how they are written."""

from collections.abc import Mapping

from llvmlite import ir

from hpsearch.native.emitter import Emitter
from hpsearch.native.examples import pick
from hpsearch.native.linear import Linear, scratch_bytes
from hpsearch.native.losses import cross_entropy
from hpsearch.native.tape import play
from hpsearch.native.tiles import Shape
from hpsearch.native.updates import update

__all__ = ["ARGUMENTS", "scratch_bytes", "write"]

_LAYER = ("lanes", "batch", "outputs", "inputs")
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "affine": (*_LAYER, "weight", "bias", "x", "x_lane", "x_row", "z", "scratch"),
    "input_gradient": (*_LAYER, "weight", "d", "d_lane", "d_row", "h", "out", "scratch"),
    "weight_gradient": (
        *(*_LAYER, "d", "d_lane", "d_row", "x", "x_lane", "x_row"),
        *("weight_out", "bias_out", "scratch"),
    ),
    "weight_step": (
        *(*_LAYER, "d", "d_lane", "d_row", "x", "x_lane", "x_row", "weight", "bias"),
        *("table", "scratch", "weight_first", "bias_first", "weight_second", "bias_second"),
    ),
    "update": ("lanes", "size", "weight", "gradient", "table", "is_decayed", "first", "second"),
    "cross_entropy": (
        *("lanes", "batch", "classes", "z", "d", "y", "y_lane", "smoothing", "sums"),
    ),
    "pick": ("lanes", "rows", "features", "source", "order", "order_lane", "scale", "out"),
    "play": ("calls", "n_calls", "first", "n_steps", "work"),
}
"""What each kernel takes, in order: whole numbers of 64 bits; strides are in bytes."""


def write(module: ir.Module, name: str, shape: Shape, variant: str = "") -> None:
    """Write a kernel into a module, as a function of its name.

    Args:
        module: Where it goes.
        name: One of :data:`ARGUMENTS`.
        shape: How blocks are cut.
        variant: Of ``affine``: the activation that follows; of ``input_gradient``: the one whose
            derivative is multiplied by; of ``weight_step`` and ``update``: the rule; of ``pick``:
            ``bytes`` or ``reals``, what examples are stored as.
    """
    emitter = Emitter(module, name)
    found = (emitter.argument(i) for i in range(len(ARGUMENTS[name])))
    arguments = dict(zip(ARGUMENTS[name], found, strict=True))
    linear = Linear(emitter, shape, arguments)
    if name == "affine":
        linear.affine(variant)
    elif name == "input_gradient":
        linear.input_gradient(variant)
    elif name == "weight_gradient":
        linear.weight_gradient()
    elif name == "weight_step":
        linear.weight_step(variant)
    elif name == "update":
        update(emitter, shape, arguments, variant)
    elif name == "cross_entropy":
        cross_entropy(emitter, shape, arguments)
    elif name == "pick":
        pick(emitter, shape, arguments, variant)
    else:
        play(emitter, arguments)
    emitter.finish()
