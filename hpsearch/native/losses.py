"""Softmax cross-entropy: its gradient and its sums in one pass over the outputs."""

from collections.abc import Mapping

from hpsearch.native.emitter import Emitter, Int, Vector
from hpsearch.native.tiles import Shape


def cross_entropy(e: Emitter, shape: Shape, a: Mapping[str, Int]) -> None:
    """Write: d = (softmax(z) - target) / batch; loss and hits are added to the sums.

    ``z`` and ``d`` are ``[lanes, batch, classes]`` and may be the same; ``y`` are whole numbers of
    64 bits, ``y_lane`` bytes from one lane's to the next one's; ``smoothing`` is a number a lane;
    ``sums`` are float64, ``[lanes, 2]``.
    """
    size, lanes, kind = shape.size, shape.lanes, shape.vector()
    element = kind.element
    classes, batch = a["classes"], a["batch"]
    n_examples, n_classes = e.real(batch, element), e.real(classes, element)
    nothing = e.constant(0.0, kind)
    with e.loop(a["lanes"]) as k:
        smoothing = e.load(a["smoothing"] + k * size, element)
        on = e.broadcast(1.0 - smoothing, kind)
        off = e.broadcast(smoothing / n_classes, kind)
        share = e.broadcast(1.0 / n_examples, kind)
        at_sums = a["sums"] + k * 16
        double = e.widened(e.constant(0.0, element))
        loss, hits = e.variable(double), e.variable(double)
        with e.loop(batch) as b:
            target = e.load_whole(a["y"] + k * a["y_lane"] + b * 8)
            row = (k * batch + b) * classes * size
            z, d = a["z"] + row, a["d"] + row

            def values(i: Int, z: Int = z) -> tuple[Vector, object]:
                is_there = e.first(classes - i, kind)
                found = e.load_where(is_there, z + i * size, kind)
                return found.where(is_there, float("-inf")), is_there

            high = e.variable(e.constant(float("-inf"), kind))
            with e.loop(classes, lanes) as i:
                found, _ = values(i)
                high.set(found.where(found.exceeds(high.get()), high.get()))
            highest = high.get().folded(lambda x, y: x.where(x.exceeds(y), y))
            of_target = e.load(z + target * size, element)
            top = e.broadcast(highest, kind)
            total, ahead = e.variable(nothing), e.variable(nothing)
            with e.loop(classes, lanes) as i:
                found, is_there = values(i)
                power = (found - top).exp().where(is_there, 0.0)
                is_ahead = e.both(
                    found.equals(top), e.are("<", e.places(i, kind), target)
                )  # another class is as high: the first one counts
                ahead.set(ahead.get() + e.constant(1.0, kind).where(is_ahead, 0.0))
                e.store_where(is_there, power, d + i * size)
                total.set(total.get() + power)
            whole = total.get().folded(lambda x, y: x + y)
            over = e.broadcast(whole, kind)
            with e.loop(classes, lanes) as i:
                is_there = e.first(classes - i, kind)
                p = e.load_where(is_there, d + i * size, kind) / over
                aim = on.where(e.are("==", e.places(i, kind), target), 0.0)
                e.store_where(is_there, (p - aim - off) * share, d + i * size)
            own = e.call("llvm.log", whole) - (of_target - highest)
            loss.set(loss.get() + e.widened(own))
            n_ahead = ahead.get().folded(lambda x, y: x + y)
            is_hit = e.both(of_target.equals(highest), n_ahead.equals(0.0))
            one = e.widened(e.constant(1.0, element))
            hits.set(hits.get() + one.where(is_hit, 0.0))
        for place, sum_ in ((at_sums, loss), (at_sums + 8, hits)):
            e.store(e.load(place, double.value.type) + sum_.get(), place)
