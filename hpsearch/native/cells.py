"""The kernels of recurrent layers: all steps of all lanes in a call, forward and back.

Rows are those of a sequence of steps: row ``b · steps + t`` is step ``t`` of example ``b``. Gates
stand in torch's order, ``hidden`` numbers each. As with linear layers, what a lane gets is worked
out by itself, and zeros around a narrower lane change nothing; but of products in bfloat16 the
order of sums, on the way back: behind zeros, a gate's numbers form other pairs.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from hpsearch.native.emitter import Emitter, Int, Vector
from hpsearch.native.tiles import Shape, Tiles

N_GATES: Mapping[str, int] = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}
"""Of each kind of cell; those without gates go by the name of their function."""

EVERY = " every"
"""Behind the name of a cell: a ``cell_backward`` that is given gradients of all steps' outputs."""

_SPREAD = 2  # vectors of units side by side, where a block has few gates
_MOST_GATES = 4
_WIDEST = 64  # bytes of a vector


def cell_scratch_bytes(batch: int, hidden: int, inputs: int) -> int:
    """Return the bytes of scratch memory that are enough for either kernel of such a layer."""
    rows, columns, deep = (n + 64 for n in (batch, hidden, inputs))
    forward = _MOST_GATES * columns * (columns + deep) + rows * (3 * columns + deep)
    backward = _MOST_GATES * columns * (columns + rows) + 2 * rows * columns
    return 8 * (max(forward, backward) + deep)


class Cells:
    """Writes the kernels of a recurrent layer.

    Args:
        emitter: Of the kernel.
        shape: How blocks are cut.
        arguments: By name.
        cell: One of :data:`N_GATES`.
    """

    def __init__(
        self, emitter: Emitter, shape: Shape, arguments: Mapping[str, Int], cell: str
    ) -> None:
        self.e, self.a, self.cell = emitter, arguments, cell
        self.n_gates = N_GATES[cell]
        self.unit_bytes = 4 if shape.is_paired else shape.size
        self.vector_bytes = shape.lanes * shape.size
        self.shape = shape
        self.tiles = Tiles(emitter, shape)

    # --- forward -------------------------------------------------------------------------------

    def forward(self) -> None:
        """Take all steps, from an output of zeros on.

        What the steps before need to be gone back is kept: ``gates`` ``[lanes, batch, steps,
        gates · hidden]``, ``gates_row`` bytes from row to row; ``before``, the output before each
        step, ``[lanes, batch, steps, hidden]``; like it ``memory``: the LSTM's before the step,
        whose tanh after it is ``shown``, or what the GRU's last output contributed to n. ``out``
        are the outputs of all steps, ``last`` those of the last one. What stands at address 0 is
        not written.
        """
        e, a = self.e, self.a
        is_gated = self.n_gates > 1
        if is_gated:  # four sums a row, whose panels have a vector more in an LSTM
            n_rows = self.shape.rows * 3 // 4
            self.shape = replace(
                self.shape, rows=n_rows if self.cell == "gru" else n_rows // 2 * 2
            )
        shape, vector_bytes = self.shape, self.vector_bytes
        self.tiles = Tiles(e, shape)
        spread = 1 if is_gated else _SPREAD
        batch, steps, hidden, inputs = (a[n] for n in ("batch", "steps", "hidden", "inputs"))
        wide = shape.lanes * spread
        group_bytes = self.n_gates * spread * vector_bytes
        of_inputs = inputs.ceil(shape.group)
        of_hidden = hidden.ceil(shape.group)
        panel_bytes = (of_inputs + of_hidden) * group_bytes
        n_blocks = hidden.ceil(wide)
        x_bytes, h_bytes = (
            inputs.ceil(shape.run) * vector_bytes,
            n_blocks * (spread * vector_bytes),
        )
        state_bytes = (batch + shape.rows) * h_bytes
        panels = a["scratch"]
        xs = panels + n_blocks * panel_bytes
        states = xs + (batch + shape.rows) * x_bytes
        memory = states + 2 * state_bytes
        row = memory + batch * h_bytes  # of a weight, while it is copied
        self.tiles.clear(panels, n_blocks * panel_bytes)
        self.tiles.clear(xs + batch * x_bytes, shape.rows * x_bytes)
        with e.loop(a["lanes"]) as k:
            for name, n, first in (("ih", inputs, 0), ("hh", hidden, of_inputs * group_bytes)):
                weight = a[f"weight_{name}"] + k * (self.n_gates * shape.size) * hidden * n
                places = (panels + first, panel_bytes, group_bytes)
                self._pack_weight(weight, n, places, spread, row)
            self.tiles.clear(states, 2 * state_bytes + batch * h_bytes)
            self._clear_last(k)
            with e.loop(steps) as t:
                x = a["x"] + k * a["x_lane"] + t * a["x_row"]
                self.tiles.pack_rows(x, a["x_row"] * steps, batch, inputs, xs)
                is_odd = t - t // 2 * 2
                old, new = (states + side * state_bytes for side in (is_odd, 1 - is_odd))
                with e.loop(n_blocks) as block:
                    panel = panels + block * panel_bytes
                    unit = block * wide
                    biases = [self._biases(k, unit + v * shape.lanes) for v in range(spread)]
                    with e.loop(batch, shape.rows) as b:
                        sums = self._sums(
                            (xs + b * x_bytes, x_bytes, panel, of_inputs),
                            (
                                old + b * h_bytes,
                                h_bytes,
                                panel + of_inputs * group_bytes,
                                of_hidden,
                            ),
                            spread,
                        )
                        n_sums = len(biases[0]) * spread
                        with e.loop((batch - b).min(shape.rows)) as m:
                            for v in range(spread):
                                j = unit + v * shape.lanes
                                found = [
                                    e.load(
                                        sums + (m * n_sums + g * spread + v) * vector_bytes,
                                        shape.vector(),
                                    )
                                    + bias
                                    for g, bias in enumerate(biases[v])
                                ]
                                of_row = (b + m) * h_bytes
                                place = (k * batch + b + m) * steps + t, k * batch + b + m, j
                                at = memory + of_row + j * shape.size
                                packed = new + of_row + j * self._packed_size
                                self._either(j, partial(self._advance, found, place, at, packed))

    @property
    def _packed_size(self) -> int:
        return 2 if self.shape.is_paired else self.shape.size

    def _pack_weight(
        self, weight: Int, n: Int, places: tuple[Int, Int, int], spread: int, row: Int
    ) -> None:
        """Copy a weight so that what follows each other are the gates of a few units."""
        e, shape = self.e, self.shape
        hidden = self.a["hidden"]
        target, panel_bytes, group_bytes = places
        wide = shape.lanes * spread
        for gate in range(self.n_gates):
            with e.loop(hidden) as j:
                source = weight + (hidden * gate + j) * n * shape.size
                if shape.is_paired:
                    self.tiles.pack_row(source, n, row)
                    source = row
                block = j // wide
                number = j - block * wide + gate * wide
                at = target + block * panel_bytes + number * shape.size
                with e.loop(n.ceil(shape.group)) as i:
                    unit = e.load(source + i * self.unit_bytes, shape.unit)
                    e.store(unit, at + i * group_bytes)

    def _clear_last(self, k: Int) -> None:
        e, a, shape = self.e, self.a, self.shape
        n = a["batch"] * a["hidden"]
        with e.loop(n, shape.lanes) as i:
            nothing = e.constant(0.0, shape.vector())
            mask = e.first(n - i, shape.vector())
            e.store_where(mask, nothing, a["last"] + (k * n + i) * shape.size)

    def _biases(self, k: Int, unit: Int) -> list[Vector]:
        """Return what is added to each sum of some units."""
        e, a, shape = self.e, self.a, self.shape
        mask = e.first(a["hidden"] - unit, shape.vector())

        def bias(of: str, gate: int) -> Vector:
            number = (k * self.n_gates + gate) * a["hidden"] + unit
            return e.load_where(mask, a[f"bias_{of}"] + number * shape.size, shape.vector())

        if self.cell == "gru":
            both = [bias("ih", gate) + bias("hh", gate) for gate in range(2)]
            return [*both, bias("ih", 2), bias("hh", 2)]
        return [bias("ih", gate) + bias("hh", gate) for gate in range(self.n_gates)]

    def _sums(
        self,
        of_inputs: tuple[Int, Int, Int, Int],
        of_hidden: tuple[Int, Int, Int, Int],
        spread: int,
    ) -> Int:
        """Return where the sums of a block stand: of every gate, but of n in a GRU two."""
        is_gru = self.cell == "gru"
        totals = self.tiles.zeros(4 if is_gru else self.n_gates * spread)
        for part, own in ((of_inputs, 2), (of_hidden, 3)):
            left, row_bytes, panel, n_groups = part
            chosen = [[*row[:2], row[own]] for row in totals] if is_gru else totals
            self.tiles.add_outer(chosen, left, (row_bytes, self.unit_bytes), panel, n_groups)
        return self.tiles.laid(totals)

    def _advance(
        self,
        sums: list[Vector],
        place: tuple[Int, Int, Int],
        memory: Int,
        packed: Int,
        mask: Any,
    ) -> None:
        """Write the next output of some units of an example, and what is kept.

        Args:
            sums: Before the gates.
            place: Number of the row, of the example, and of the first unit.
            memory: Where the LSTM's memory stands.
            packed: Where the output goes, for the next step's product.
            mask: Which of the units there are; None: all.
        """
        e, a, size = self.e, self.a, self.shape.size
        kind = self.shape.vector()
        step, example, j = place
        at_gates = step * a["gates_row"] + j * size
        at_last = (example * a["hidden"] + j) * size
        at_step = (step * a["hidden"] + j) * size

        def keep(value: Vector, name: str, at: Int) -> None:
            with e.when(e.whole(0) < a[name]):
                e.store_where(mask, value, a[name] + at)

        before = e.load_where(mask, a["last"] + at_last, kind)
        keep(before, "before", at_step)
        if self.cell == "gru":
            r, z = (_sigmoid(one) for one in sums[:2])
            n = r.fma(sums[3], sums[2]).tanh()
            h = z.fma(before - n, n)
            gates = [r, z, n]
            keep(sums[3], "memory", at_step)
        elif self.cell == "lstm":
            i, f, o = (_sigmoid(sums[gate]) for gate in (0, 1, 3))
            g = sums[2].tanh()
            c = e.load(memory, kind)
            keep(c, "memory", at_step)
            new = f.fma(c, i * g)
            e.store(new, memory)
            shown = new.tanh()
            keep(shown, "shown", at_step)
            h = o * shown
            gates = [i, f, g, o]
        else:
            (total,) = sums
            if self.cell == "tanh":
                h = total.tanh()
            else:  # NaN stays NaN
                h = e.constant(0.0, kind).where(total.below(0.0), total)
            gates = [h]
        for gate, value in enumerate(gates):
            keep(value, "gates", at_gates + a["hidden"] * (gate * size))
        h = h if mask is None else h.where(mask, 0.0)
        e.store(e.rounded(h) if self.shape.is_paired else h, packed)
        e.store_where(mask, h, a["last"] + at_last)
        keep(h, "out", at_step)

    def _either(self, j: Int, use: Callable[[Any], None]) -> None:
        """Write what is done for a vector of units from this one on, given their mask.

        A whole one has none where registers are small: such processors are slow at writing by
        masks.
        """
        e, shape = self.e, self.shape
        left = self.a["hidden"] - j
        mask = e.first(left, shape.vector())
        if self.vector_bytes >= _WIDEST:
            use(mask)
            return
        with e.either(left >= shape.lanes) as (is_whole, is_part):
            with is_whole:
                use(None)
            with is_part:
                use(mask)

    # --- backward ------------------------------------------------------------------------------

    def backward(self, *, has_all: bool) -> None:
        """Go back through all steps: gradients take the place of the gates.

        Args:
            has_all: Whether ``d`` are the gradients of all steps' outputs, rows of them, not of
                the last one alone; from lane to lane they are ``d_lane`` bytes.

        In ``d_ah`` come the gradients of what the output before contributed, where they are
        others: the GRU's.
        """
        e, a, shape = self.e, self.a, self.shape
        size, vector_bytes = shape.size, self.vector_bytes
        batch, steps, hidden = (a[n] for n in ("batch", "steps", "hidden"))
        n_rows = a["rows"]
        wide = shape.lanes * _SPREAD
        n_groups = n_rows.ceil(shape.group)
        panel_bytes = n_groups * (_SPREAD * vector_bytes)
        d_bytes = n_rows.ceil(shape.run) * vector_bytes
        h_bytes = hidden.ceil(wide) * (_SPREAD * vector_bytes)
        panels = a["scratch"]
        ds = panels + hidden.ceil(wide) * panel_bytes
        dh = ds + (batch + shape.rows) * d_bytes
        dc = dh + batch * h_bytes
        self.tiles.clear(ds + batch * d_bytes, shape.rows * d_bytes)
        kind = shape.vector()

        def masks(i: Int) -> list[Any]:
            return [e.first(hidden - i - v * shape.lanes, kind) for v in range(_SPREAD)]

        with e.loop(a["lanes"]) as k:
            weight = a["weight_hh"] + k * n_rows * hidden * size
            with e.loop(hidden, wide) as i:
                panel = panels + i // wide * panel_bytes
                self.tiles.pack_panel(
                    weight + i * size, hidden * size, n_rows, panel, masks(i), shape.lanes
                )
            self.tiles.clear(dh, 2 * batch * h_bytes)
            if not has_all:
                with e.loop(batch) as b, e.loop(hidden, shape.lanes) as j:
                    mask = e.first(hidden - j, kind)
                    at = k * a["d_lane"] + (b * hidden + j) * size
                    e.store(e.load_where(mask, a["d"] + at, kind), dh + b * h_bytes + j * size)
            with e.loop(steps) as s:
                t = steps - 1 - s
                with e.loop(batch) as b, e.loop(hidden, shape.lanes) as j:
                    running = tuple(one + b * h_bytes + j * size for one in (dh, dc))
                    step = (k * batch + b) * steps + t
                    self._either(j, partial(self._retreat, step, j, running, has_all=has_all))
                with e.when(e.whole(0) < t):
                    source = a["d_ah" if self.cell == "gru" else "gates"]
                    row_bytes = a["gates_row"]
                    first = source + (k * batch * steps + t) * row_bytes
                    self.tiles.pack_rows(first, row_bytes * steps, batch, n_rows, ds)
                    with e.loop(hidden, wide) as i, e.loop(batch, shape.rows) as b:
                        block = self.tiles.outer(
                            ds + b * d_bytes,
                            (d_bytes, self.unit_bytes),
                            panels + i // wide * panel_bytes,
                            n_groups,
                            _SPREAD,
                        )
                        with e.loop((batch - b).min(shape.rows)) as m:
                            for v in range(_SPREAD):
                                at = dh + (b + m) * h_bytes + (i + v * shape.lanes) * size
                                total = e.load(block + (m * _SPREAD + v) * vector_bytes, kind)
                                if self.cell == "gru":  # what went around the gates
                                    total = total + e.load(at, kind)
                                e.store(total, at)

    def _retreat(
        self, step: Int, j: Int, running: tuple[Int, ...], mask: Any, *, has_all: bool
    ) -> None:
        """Write the gradients before the gates of some units at a step of an example.

        Args:
            step: Number of the row.
            j: Of the first unit.
            running: Where the gradients of output and memory stand.
            mask: Which of the units there are; None: all.
            has_all: As in :meth:`backward`.
        """
        e, a, size = self.e, self.a, self.shape.size
        kind = self.shape.vector()
        at_dh, at_dc = running
        at_step = (step * a["hidden"] + j) * size

        def kept(name: str) -> Vector:
            return e.load_where(mask, a[name] + at_step, kind)

        def place(gate: int) -> Int:
            return step * a["gates_row"] + (a["hidden"] * gate + j) * size

        dh = e.load(at_dh, kind)
        if has_all:
            dh = dh + kept("d")
        gates = [e.load_where(mask, a["gates"] + place(i), kind) for i in range(self.n_gates)]
        if self.cell == "gru":
            r, z, n = gates
            dn = (dh - dh * z) * (1.0 - n * n)
            dr = dn * kept("memory") * _slope(r)
            dz = dh * (kept("before") - n) * _slope(z)
            slopes = [dr, dz, dn]
            for gate, slope in enumerate((dr, dz, dn * r)):
                e.store_where(mask, slope, a["d_ah"] + place(gate))
            e.store(dh * z, at_dh)
        elif self.cell == "lstm":
            i, f, g, o = gates
            shown = kept("shown")
            dc = e.load(at_dc, kind) + dh * o * (1.0 - shown * shown)
            slopes = [
                dc * g * _slope(i),
                dc * kept("memory") * _slope(f),
                dc * i * (1.0 - g * g),
                dh * shown * _slope(o),
            ]
            e.store(dc * f, at_dc)
        else:
            (h,) = gates
            is_tanh = self.cell == "tanh"
            slopes = [dh * (1.0 - h * h) if is_tanh else dh.where(h.exceeds(0.0), 0.0)]
        for gate, slope in enumerate(slopes):
            e.store_where(mask, slope, a["gates"] + place(gate))


def _sigmoid(x: Vector) -> Vector:
    return 1.0 / ((0.0 - x).exp() + 1.0)


def _slope(s: Vector) -> Vector:
    return (1.0 - s) * s
