"""Picking the examples of a batch: looked up, read as bytes and scaled in one pass."""

from collections.abc import Mapping

from hpsearch.native.emitter import Emitter, Int
from hpsearch.native.tiles import Shape


def pick(e: Emitter, shape: Shape, a: Mapping[str, Int], stored: str) -> None:
    """out[k, r, f] = (source[order[k, r], f] - shift) factor, of bytes; of reals the source alone.

    ``order`` are whole numbers of 64 bits, ``order_lane`` bytes from one lane's
    to the next one's, ``scale`` shift and factor.
    """
    features, kind, are_bytes = a["features"], shape.vector(), stored == "bytes"
    element = kind.element
    shift = e.load(a["scale"], element)
    factor = e.load(a["scale"] + shape.size, element)
    whole = features // shape.lanes
    done = whole * shape.lanes
    with e.loop(a["lanes"]) as k, e.loop(a["rows"]) as row:
        number = e.load_whole(a["order"] + k * a["order_lane"] + row * 8)
        source = a["source"] + number * features * (1 if are_bytes else shape.size)
        out = a["out"] + (k * a["rows"] + row) * features * shape.size
        if not are_bytes:
            with e.loop(whole) as i:
                at = i * (shape.lanes * shape.size)
                e.store(e.load(source + at, kind), out + at)
            is_left = e.first(features - done, kind)
            at = done * shape.size
            e.store_where(is_left, e.load_where(is_left, source + at, kind), out + at)
        else:
            with e.loop(whole) as i:
                values = e.load_bytes(source + i * shape.lanes, kind)
                values = (values - e.broadcast(shift, kind)) * e.broadcast(factor, kind)
                e.store(values, out + i * (shape.lanes * shape.size))
            with e.loop(features - done) as i:
                value = e.real(e.load_whole(source + done + i, bits=8), element)
                e.store((value - shift) * factor, out + (done + i) * shape.size)
