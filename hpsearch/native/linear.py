"""The kernels of a linear layer, forward and backward: all lanes in a call.

Matrices are rows in memory: activations ``[lanes, batch, features]``, weights ``[lanes, outputs,
inputs]``. Strides are in bytes. What a lane gets is worked out by itself, in an order that its
own sizes alone decide: it is bit for bit the same in any company, and zeros around a narrower
lane change nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.native.emitter import Emitter, Int, Vector
from hpsearch.native.rules import RULES
from hpsearch.native.tiles import Shape, Tiles
from hpsearch.native.updates import coefficients_of, take

_LINE = 64  # bytes: of a line of the cache


def scratch_bytes(batch: int, outputs: int, inputs: int) -> int:
    """Return the bytes of scratch memory that are enough for any kernel of such a layer."""
    rows, columns, deep = (n + 64 for n in (batch, outputs, inputs))
    return 8 * (rows * max(columns, deep) + 64 * max(rows, columns, deep)) + 4 * _LINE


class Linear:
    """Writes the kernels of a linear layer.

    Args:
        emitter: Of the kernel.
        shape: How blocks are cut.
        arguments: By name.
    """

    def __init__(self, emitter: Emitter, shape: Shape, arguments: Mapping[str, Int]) -> None:
        self.e, self.shape, self.a = emitter, shape, arguments
        self.tiles = Tiles(emitter, shape)

    # --- forward -------------------------------------------------------------------------------

    def affine(self, activation: str) -> None:
        """z[k, b, o] = f(sum over i of x[k, b, i] weight[k, o, i], plus bias[k, o])."""
        e, shape, a = self.e, self.shape, self.a
        size, left, right = shape.size, shape.left, shape.right
        batch, outputs, inputs = a["batch"], a["outputs"], a["inputs"]
        n_vectors = inputs.ceil(shape.run)
        row_bytes = n_vectors * (shape.lanes * size)
        xs = a["scratch"]
        ws = xs + (batch + left) * row_bytes
        self.tiles.clear(xs + batch * row_bytes, row_bytes * left)
        kind = shape.vector(right)
        with e.loop(a["lanes"]) as k:
            weight = a["weight"] + k * outputs * inputs * size
            bias = a["bias"] + k * outputs * size
            z = a["z"] + k * batch * outputs * size
            is_new = e.b.or_(k.is_(0), e.b.not_(a["x_lane"].is_(0)))
            with e.when(is_new):
                self.tiles.pack_rows(a["x"] + k * a["x_lane"], a["x_row"], batch, inputs, xs)
            with e.loop(outputs, right) as o:
                n = (outputs - o).min(right)
                is_there = e.first(n, kind)
                self.tiles.pack_rows(weight + o * inputs * size, inputs * size, n, inputs, ws)
                more = e.load_where(is_there, bias + o * size, kind)
                with e.loop(batch, left) as b:
                    # of the next rows of the weight, a line at a time
                    next_ = weight + ((o + right) * inputs * size + b // left * row_bytes)

                    def ahead(vector: Int, next_: Int = next_) -> None:
                        e.prefetch(next_ + vector * (shape.lanes * size), is_read=True)

                    sums = self.tiles.dot(
                        xs + b * row_bytes, row_bytes, ws, row_bytes, n_vectors, ahead
                    )
                    for m, total in enumerate(sums):
                        h = self._activated(activation, total + more)
                        with e.when(b + m < batch):
                            e.store_where(is_there, h, z + ((b + m) * outputs + o) * size)

    # --- backward ------------------------------------------------------------------------------

    def input_gradient(self, activation: str, *, is_dropped: bool) -> None:
        """out[k, b, i] = f'(h[k, b, i]) times the sum over o of d[k, b, o] weight[k, o, i].

        If something was dropped, times factors[k, b, i] before.
        """
        e, shape, a = self.e, self.shape, self.a
        size = shape.size
        batch, outputs, inputs = a["batch"], a["outputs"], a["inputs"]
        n_groups = outputs.ceil(shape.group)
        row_bytes = outputs.ceil(shape.run) * (shape.lanes * size)
        rows, panel = a["scratch"], a["scratch"] + (batch + shape.rows) * row_bytes
        self.tiles.clear(rows + batch * row_bytes, row_bytes * shape.rows)
        with e.loop(a["lanes"]) as k:
            weight = a["weight"] + k * outputs * inputs * size
            self.tiles.pack_rows(a["d"] + k * a["d_lane"], a["d_row"], batch, outputs, rows)

            def panel_of(i: Int, masks: Sequence[Any], weight: Int = weight) -> None:
                self.tiles.pack_panel(
                    weight + i * size, inputs * size, outputs, panel, masks, shape.lanes
                )
                with e.loop(batch, shape.rows) as b:
                    block = self.tiles.outer(
                        rows + b * row_bytes,
                        (row_bytes, 4 if shape.is_paired else size),
                        panel,
                        n_groups,
                        len(masks),
                    )
                    with e.loop((batch - b).min(shape.rows)) as m:
                        first = ((k * batch + b + m) * inputs + i) * size
                        for v, mask in enumerate(masks):
                            at = first + v * (shape.lanes * size)
                            total = self._sum(block, m, v, len(masks))
                            if is_dropped:
                                total = total * e.load_where(
                                    mask, a["factors"] + at, shape.vector()
                                )
                            h = None
                            if activation != "none":
                                h = e.load_where(mask, a["h"] + at, shape.vector())
                            slope = total if h is None else self._slope(activation, total, h)
                            e.store_where(mask, slope, a["out"] + at)

            self._panels(inputs, panel_of)

    def _activated(self, activation: str, z: Vector) -> Vector:
        """Return the function of some numbers; NaN stays NaN."""
        if activation == "relu":
            return self.e.constant(0.0, z.value.type).where(z.below(0.0), z)
        if activation == "leaky_relu":
            return (z * 0.01).where(z.below(0.0), z)
        if activation == "tanh":
            return z.tanh()
        if activation == "sigmoid":
            return 1.0 / ((0.0 - z).exp() + 1.0)
        return z

    def _slope(self, activation: str, d: Vector, h: Vector) -> Vector:
        """Return a gradient times the derivative, which the output ``h`` tells."""
        if activation == "relu":
            return d.where(h.exceeds(0.0), 0.0)
        if activation == "leaky_relu":
            return d.where(h.exceeds(0.0), d * 0.01)
        if activation == "tanh":
            return d * (1.0 - h * h)
        if activation == "sigmoid":
            return d * ((1.0 - h) * h)
        raise AssertionError(activation)

    def weight_gradient(self) -> None:
        """weight_out[k, o, i] = sum over b of d[k, b, o] x[k, b, i], and the sums of d alone."""
        e, a = self.e, self.a

        def keep(total: Vector, mask: Any, at: Int, of: str) -> None:
            e.store_where(mask, total, a[f"{of}_out"] + at)

        self._gradients(keep, lambda _k: None, lambda _at: None, lambda _k: None)

    def weight_step(self, rule: str, *, is_measured: bool) -> None:
        """Take a rule's step by the gradients, which are nowhere written.

        If it is measured, squares are added to ``signs``, float64, ``[lanes, 3]``: those of the
        gradient (its l2 term included), of the weights before, and of their changes; the last
        two of the weight matrix alone.
        """
        e, shape, a = self.e, self.shape, self.a
        n_buffers, names = RULES[rule].n_buffers, RULES[rule].coefficients
        coefficients: dict[str, Vector] = {}
        nothing = e.constant(0.0, shape.vector())
        squares = [e.variable(nothing) for _ in range(3 if is_measured else 0)]

        def buffers(of: str) -> list[Int]:
            return [a[f"{of}_{which}"] for which in ("first", "second")[:n_buffers]]

        def begin(k: Int) -> None:
            coefficients.update(coefficients_of(e, shape, a["table"], k, names))

        def change(total: Vector, mask: Any, at: Int, of: str) -> None:
            w = e.load_where(mask, a[of] + at, total.value.type)
            gradient = total
            if of == "weight":
                gradient = w.fma(e.broadcast(coefficients["l2"], total.value.type), total)
            new = take(e, rule, w, gradient, mask, (a[of], buffers(of)), at, coefficients)
            if is_measured and of == "weight":
                for square, value in zip(squares, (gradient, w, new - w), strict=True):
                    square.set(value.fma(value, square.get()))
            elif is_measured:
                few = gradient.where(mask, 0.0)  # biases have masks
                self._add(a["signs"] + at // (a["outputs"] * shape.size) * 24, few * few)

        def expect(at: Int) -> None:
            for place in (a["weight"], *buffers("weight")):
                e.prefetch(place + at)

        def end(k: Int) -> None:  # of a panel: in float32, few numbers are added up
            for i, square in enumerate(squares):
                self._add(a["signs"] + k * 24 + i * 8, square.get())
                square.set(nothing)

        self._gradients(change, begin, expect, end)

    def _add(self, at: Int, values: Vector) -> None:
        """Add the sum of some numbers to a float64."""
        e = self.e
        more = e.widened(values.folded(lambda x, y: x + y))
        e.store(e.load(at, more.value.type) + more, at)

    def _gradients(self, use: Any, begin: Any, expect: Any, end: Any) -> None:
        """Write the loops over both gradients of a layer.

        Args:
            use: Given some numbers of a gradient, which of them there are, where they stand, and
                of what.
            begin: Given the lane before its first numbers.
            expect: Given where numbers will stand, ahead of time.
            end: Given the lane after the last numbers of a panel.
        """
        e, shape, a = self.e, self.shape, self.a
        size, rows = shape.size, shape.rows
        batch, outputs, inputs = a["batch"], a["outputs"], a["inputs"]
        n_groups = batch.ceil(shape.group)
        tile_bytes = n_groups * (rows * size)  # a pair of bfloat16 is as large as a float32
        left = a["scratch"]
        panel = left + outputs.ceil(rows) * tile_bytes
        few = shape.vector(rows)
        with e.loop(a["lanes"]) as k:
            begin(k)
            d, x = a["d"] + k * a["d_lane"], a["x"] + k * a["x_lane"]
            with e.loop(outputs, rows) as o:
                is_there = e.first(outputs - o, few)
                total = e.variable(e.constant(0.0, few))
                self.tiles.pack_panel(
                    d + o * size,
                    a["d_row"],
                    batch,
                    left + o // rows * tile_bytes,
                    [is_there],
                    rows,
                    total,
                )
                use(total.get(), is_there, (k * outputs + o) * size, "bias")

            def panel_of(i: Int, masks: Sequence[Any], k: Int = k, x: Int = x) -> None:
                self.tiles.pack_panel(x + i * size, a["x_row"], batch, panel, masks, shape.lanes)
                with e.loop(outputs, rows) as o:
                    first = ((k * outputs + o) * inputs + i) * size
                    n_lines = -(-len(masks) * shape.lanes * size // _LINE)

                    def ahead(group: Int, next_: Int = first + inputs * (rows * size)) -> None:
                        # a line of each row of the next block, then the next lines
                        line = (group // rows).min(n_lines - 1)
                        row = group - group // rows * rows
                        expect(next_ + row * inputs * size + line * _LINE)

                    block = self.tiles.outer(
                        left + o // rows * tile_bytes,
                        (size, rows * size),
                        panel,
                        n_groups,
                        len(masks),
                        ahead,
                    )
                    with e.loop((outputs - o).min(rows)) as m:
                        for v, mask in enumerate(masks):
                            at = first + (inputs * m + v * shape.lanes) * size
                            use(self._sum(block, m, v, len(masks)), mask, at, "weight")
                end(k)

            self._panels(inputs, panel_of)

    def _sum(self, block: Int, row: Int, vector: int, vectors: int) -> Vector:
        """Return some of the sums of an outer block."""
        number = row * vectors + vector
        return self.e.load(
            block + number * (self.shape.lanes * self.shape.size), self.shape.vector()
        )

    def _panels(self, inputs: Int, panel_of: Any) -> None:
        """Write what is done for each panel of columns: wide ones, then single vectors.

        Only single vectors have masks: some processors are slow at writing by one.
        """
        e, shape = self.e, self.shape
        wide = shape.vectors * shape.lanes
        done = inputs // wide * wide
        with e.loop(done, wide) as i:
            panel_of(i, [None] * shape.vectors)
        with e.loop(inputs - done, shape.lanes) as more:
            panel_of(done + more, [e.first(inputs - done - more, shape.vector())])
