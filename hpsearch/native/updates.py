"""Update rules as kernels: one pass over weights, gradient and running values."""

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.native.emitter import Emitter, Int, Vector
from hpsearch.native.rules import RULES
from hpsearch.native.tiles import Shape


def update(e: Emitter, shape: Shape, a: Mapping[str, Int], rule: str) -> None:
    """Take a rule's step by gradients that stand in memory."""
    n_buffers, names = RULES[rule].n_buffers, RULES[rule].coefficients
    buffers = [a["first"], a["second"]][:n_buffers]
    kind = shape.vector()
    with e.loop(a["lanes"]) as k:
        coefficients = coefficients_of(e, shape, a["table"], k, names)
        l2 = e.broadcast(coefficients["l2"], kind).where(e.b.not_(a["is_decayed"].is_(0)), 0.0)

        def some(
            i: Int, mask: Any, k: Int = k, l2: Vector = l2, c: Mapping[str, Vector] = coefficients
        ) -> None:
            at = (k * a["size"] + i) * shape.size
            w = e.load_where(mask, a["weight"] + at, kind)
            g = e.load_where(mask, a["gradient"] + at, kind)
            take(e, rule, w, w.fma(l2, g), mask, (a["weight"], buffers), at, c)

        whole = a["size"] // shape.lanes
        with e.loop(whole) as i:
            some(i * shape.lanes, None)
        done = whole * shape.lanes
        with e.when(done < a["size"]):
            some(done, e.first(a["size"] - done, kind))


def coefficients_of(
    e: Emitter, shape: Shape, table: Int, lane: Int, names: Sequence[str]
) -> dict[str, Vector]:
    """Return the coefficients of a lane, one number each; that of the l2 term is the last one."""
    at, element = table + lane * ((len(names) + 1) * shape.size), shape.vector().element
    return {name: e.load(at + i * shape.size, element) for i, name in enumerate((*names, "l2"))}


def take(
    e: Emitter,
    rule: str,
    w: Vector,
    gradient: Vector,
    mask: Any,
    places: tuple[Int, Sequence[Int]],
    at: Int,
    coefficients: Mapping[str, Vector],
) -> Vector:
    """Apply a rule to some numbers, write what it changes, and return the new weights.

    Args:
        e: Of the kernel.
        rule: Its name.
        w: The weights.
        gradient: Of them, penalties included.
        mask: Which of them there are.
        places: Addresses of all weights, and of the running values.
        at: Bytes from there to these.
        coefficients: Of the lane.
    """
    kind = w.value.type
    weight, buffers = places
    running = [e.load_where(mask, buffer + at, kind) for buffer in buffers]
    c = {name: e.broadcast(value, kind) for name, value in coefficients.items()}
    new, kept = RULES[rule].take(w, gradient, running, c)
    e.store_where(mask, new, weight + at)
    for buffer, value in zip(buffers, kept, strict=True):
        e.store_where(mask, value, buffer + at)
    return new
