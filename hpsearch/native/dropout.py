"""Dropout: a coin for each number, from a hash, and what it is multiplied by."""

from collections.abc import Mapping

from hpsearch.native.emitter import Emitter, Int
from hpsearch.native.tiles import Shape

_SHIFT = 15


def drop(e: Emitter, shape: Shape, a: Mapping[str, Int]) -> None:
    """Write: factors[k, b, u] = 0 or scale[k], as the coin falls, and out = h factors.

    The coin is that of ``hpsearch.layers.dropout``: ``places`` are whole numbers of 32 bits,
    ``[batch, units]``, ``keys`` two of them a lane, ``key_lane`` bytes from one lane's to the next
    one's; ``threshold`` is the smallest coin that is kept, of 32 bits, ``scale`` what is kept is
    multiplied by, a number a lane each; ``last`` is what coins are multiplied by at last.
    """
    kind, size, b = shape.vector(), shape.size, e.b
    last = e.whole_splat(a["last"], shape.lanes)
    with e.loop(a["lanes"]) as k:
        keys = a["keys"] + k * a["key_lane"]
        first, second = (e.whole_like(keys + 4 * i, shape.lanes) for i in (0, 1))
        odd = b.or_(second, e.whole_constant(1, shape.lanes))
        threshold = e.whole_like(a["threshold"] + k * 4, shape.lanes)
        scale = e.broadcast(e.load(a["scale"] + k * size, kind.element), kind)
        with e.loop(a["batch"]) as row, e.loop(a["units"], shape.lanes) as i:
            mask = e.first(a["units"] - i, kind)
            number = row * a["units"] + i
            coins = e.wholes_where(mask, a["places"] + number * 4, shape.lanes)
            coins = b.mul(b.xor(coins, first), odd)
            coins = b.xor(coins, b.ashr(coins, e.whole_constant(_SHIFT, shape.lanes)))
            coins = b.mul(coins, last)
            is_kept = b.icmp_signed(">=", coins, threshold)
            factors = scale.where(is_kept, 0.0)
            at = (k * a["batch"] * a["units"] + number) * size
            e.store_where(mask, factors, a["factors"] + at)
            e.store_where(mask, e.load_where(mask, a["h"] + at, kind) * factors, a["out"] + at)
