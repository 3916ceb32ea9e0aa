"""Products of small blocks that stay in registers: what larger products are made of.

Both blocks follow Goto and van de Geijn, Anatomy of high-performance matrix multiplication, ACM
TOMS 34(3), 2008: what is multiplied is first copied together, in the order it is read in, so that
it stands in the cache next to the processor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from llvmlite import ir

from hpsearch.native.emitter import TYPES, Emitter, Int, Variable, Vector, Whole
from hpsearch.native.processor import Processor


@dataclass(frozen=True, slots=True)
class Shape:
    """How blocks are cut for a processor.

    Attributes:
        dtype: ``float32`` or ``float64``: of what is read and written.
        is_paired: Whether products are those of numbers rounded to bfloat16, two at a time.
        lanes: Numbers in a vector.
        rows: Of an outer block; a power of two.
        vectors: Columns of an outer block, in vectors.
        left: Rows of a block of sums along memory.
        right: Columns of it; a power of two.
    """

    dtype: str
    is_paired: bool
    lanes: int
    rows: int
    vectors: int
    left: int
    right: int

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return 8 if self.dtype == "float64" else 4

    @property
    def group(self) -> int:
        """Summands that are multiplied at once at each place."""
        return 2 if self.is_paired else 1

    @property
    def run(self) -> int:
        """Summands along memory that a vector holds."""
        return self.lanes * self.group

    def vector(self, lanes: int | None = None) -> ir.VectorType:
        """Return the type of so many numbers at once."""
        return ir.VectorType(TYPES[self.dtype], lanes or self.lanes)

    @property
    def unit(self) -> ir.Type:
        """Return the type of what is multiplied at one place: a number, or a pair."""
        return ir.IntType(32) if self.is_paired else TYPES[self.dtype]

    @property
    def units(self) -> ir.VectorType:
        """Return the type of a vector of them."""
        return ir.VectorType(self.unit, self.lanes)


def shape_of(processor: Processor, dtype: str, *, is_paired: bool) -> Shape:
    """Return how blocks are cut: as large as fits the registers."""
    lanes = processor.vector_bytes // (8 if dtype == "float64" else 4)
    if processor.n_registers >= 32:
        return Shape(dtype, is_paired, lanes, rows=8, vectors=3, left=3, right=8)
    return Shape(dtype, is_paired, lanes, rows=4, vectors=3, left=3, right=4)


class Tiles:
    """Writes the blocks of one shape into a kernel."""

    def __init__(self, emitter: Emitter, shape: Shape) -> None:
        self.e, self.shape = emitter, shape

    # --- copying together ----------------------------------------------------------------------

    def pack_rows(self, source: Int, step: Int, n_rows: Whole, width: Int, target: Int) -> Int:
        """Copy rows as whole vectors, zeros behind them; return the bytes of a packed row.

        Args:
            source: Address of the first row.
            step: Bytes from row to row.
            n_rows: To copy.
            width: Numbers of a row.
            target: Where they go.
        """
        e, shape = self.e, self.shape
        row_bytes = width.ceil(shape.run) * (shape.lanes * shape.size)
        with e.loop(n_rows) as row:
            self.pack_row(source + row * step, width, target + row * row_bytes)
        return row_bytes

    def pack_row(self, source: Int, width: Int, target: Int) -> None:
        """Copy one row as whole vectors, zeros behind it."""
        e, shape = self.e, self.shape
        vector_bytes = shape.lanes * shape.size
        whole = width // shape.run
        with e.loop(whole) as i:
            for half in range(shape.group):
                part = e.load(source + (i * shape.group + half) * vector_bytes, shape.vector())
                self._put(part, target + i * vector_bytes, half)
        left = width - whole * shape.run
        with e.when(e.whole(0) < left):
            for half in range(shape.group):
                mask = e.first(left - half * shape.lanes, shape.vector())
                at = source + (whole * shape.group + half) * vector_bytes
                part = e.load_where(mask, at, shape.vector())
                self._put(part, target + whole * vector_bytes, half)

    def _put(self, part: Vector, target: Int, half: int) -> None:
        if self.shape.is_paired:
            part = self.e.rounded(part)
            target = target + half * (self.shape.lanes * 2)
        self.e.store(part, target)

    def clear(self, target: Int, n_bytes: Int) -> None:
        """Fill memory with zeros; of whole vectors."""
        e, shape = self.e, self.shape
        vector_bytes = shape.lanes * shape.size
        with e.loop(n_bytes // vector_bytes) as i:
            e.store(e.constant(0.0, shape.vector()), target + i * vector_bytes)

    def pack_panel(
        self,
        source: Int,
        step: Int,
        n_rows: Int,
        target: Int,
        masks: Sequence[object],
        lanes: int,
        total: Variable | None = None,
    ) -> None:
        """Copy a few columns of many rows, group by group: what an outer block reads.

        Args:
            source: Address of the first column of the first row.
            step: Bytes from row to row.
            n_rows: Of them.
            target: Where they go; zeros complete the last group.
            masks: Which numbers of each vector there are.
            lanes: Numbers of a vector.
            total: Where the rows are added up; of a single vector a row.
        """
        e, shape = self.e, self.shape
        kind = shape.vector(lanes)
        vector_bytes = lanes * shape.size

        def row(at: Int, v: int) -> Vector:
            part = e.load_where(masks[v], at + v * vector_bytes, kind)
            if total is not None:
                total.set(total.get() + part)
            return part

        whole = n_rows // shape.group
        group_bytes = len(masks) * vector_bytes
        with e.loop(whole) as k:
            at = source + k * step * shape.group
            for v in range(len(masks)):
                part = row(at, v)
                if shape.is_paired:
                    part = e.pairs(part, row(at + step, v))
                e.store(part, target + k * group_bytes + v * vector_bytes)
        if shape.is_paired:
            with e.when(e.whole(0) < n_rows - whole * shape.group):
                at = source + whole * step * shape.group
                for v in range(len(masks)):
                    part = e.pairs(row(at, v), e.constant(0.0, kind))
                    e.store(part, target + whole * group_bytes + v * vector_bytes)

    # --- multiplying ---------------------------------------------------------------------------

    def _multiply(self, total: Vector, a: Vector, b: Vector) -> Vector:
        if self.shape.is_paired:
            return self.e.pairs_dot(total, a, b)
        return a.fma(b, total)

    def outer(
        self,
        left: Int,
        steps: tuple[Whole, Whole],
        right: Int,
        n_groups: Int,
        vectors: int,
        expect: Callable[[Int], None] | None = None,
    ) -> Int:
        """Return where the sums of an outer block stand: row after row, of whole vectors each.

        They are overwritten by those of the next one.

        Args:
            left: Address of the first unit of the left side.
            steps: Bytes of it from row to row and from group to group.
            right: Address of the packed panel of the right side.
            n_groups: Of summands.
            vectors: Of the panel.
            expect: Writes what asks the memory for what comes next; given the number of a group.
        """
        totals = self.zeros(vectors)
        self.add_outer(totals, left, steps, right, n_groups, expect)
        return self.laid(totals)

    def zeros(self, vectors: int) -> list[list[Variable]]:
        """Return the sums of an outer block before the first summand: vectors of each row."""
        zero = self.e.constant(0.0, self.shape.vector())
        return [[self.e.variable(zero) for _ in range(vectors)] for _ in range(self.shape.rows)]

    def add_outer(
        self,
        totals: Sequence[Sequence[Variable]],
        left: Int,
        steps: tuple[Whole, Whole],
        right: Int,
        n_groups: Int,
        expect: Callable[[Int], None] | None = None,
    ) -> None:
        """Add more summands, as in :meth:`outer`; the panel has as many vectors as a row."""
        e, shape = self.e, self.shape
        vectors, vector_bytes = len(totals[0]), shape.lanes * shape.size
        with e.loop(n_groups) as k:
            if expect is not None:
                expect(k)
            at = right + k * (vectors * vector_bytes)
            b = [e.load(at + v * vector_bytes, shape.units) for v in range(vectors)]
            row, group = steps
            for m in range(shape.rows):
                unit = e.load(left + e.whole(row) * m + k * group, shape.unit)
                a = e.broadcast(unit, shape.units)
                for v in range(vectors):
                    totals[m][v].set(self._multiply(totals[m][v].get(), a, b[v]))

    def laid(self, totals: Sequence[Sequence[Variable]]) -> Int:
        """Return where sums stand; see :meth:`outer`."""
        e, shape = self.e, self.shape
        place = e.room(len(totals) * len(totals[0]), shape.vector())
        for i, total in enumerate(chain.from_iterable(totals)):
            e.store(total.get(), place + i * (shape.lanes * shape.size))
        return place

    def dot(
        self,
        left: Int,
        left_step: Int,
        right: Int,
        right_step: Int,
        n_vectors: Int,
        expect: Callable[[Int], None] | None = None,
    ) -> list[Vector]:
        """Return sums along packed rows: of each row of the left side times all of the right.

        Args:
            left: Address of ``left`` packed rows.
            left_step: Bytes from row to row.
            right: Address of ``right`` packed rows.
            right_step: Bytes from row to row.
            n_vectors: Of a row.
            expect: As in :meth:`outer`; given the number of a vector.
        """
        e, shape = self.e, self.shape
        zero = e.constant(0.0, shape.vector())
        totals = [[e.variable(zero) for _ in range(shape.right)] for _ in range(shape.left)]
        with e.loop(n_vectors) as k:
            if expect is not None:
                expect(k)
            at = k * (shape.lanes * shape.size)
            a = [e.load(left + at + left_step * m, shape.units) for m in range(shape.left)]
            for n in range(shape.right):
                b = e.load(right + at + right_step * n, shape.units)
                for m in range(shape.left):
                    totals[m][n].set(self._multiply(totals[m][n].get(), a[m], b))
        return [self._sums([total.get() for total in row]) for row in totals]

    def _sums(self, vectors: Sequence[Vector]) -> Vector:
        """Return the sum of each of these vectors, as many as a power of two, in one vector."""
        chunk, lanes = 1, self.shape.lanes
        found = list(vectors)
        while len(found) > 1:
            found = [
                self._folded(a, b, chunk) for a, b in zip(found[::2], found[1::2], strict=True)
            ]
            chunk *= 2
        (folded,) = found
        while lanes > chunk:  # several groups of sums that still belong together
            lanes //= 2
            halves = [
                self.e.shuffle(folded, folded, range(start, start + lanes)) for start in (0, lanes)
            ]
            folded = halves[0] + halves[1]
        return folded

    def _folded(self, a: Vector, b: Vector, chunk: int) -> Vector:
        """Add neighbouring chunks of each vector; those of both take turns in the result."""
        lanes = self.shape.lanes

        def picked(first: int) -> list[int]:
            starts = range(first * chunk, lanes, 2 * chunk)
            return list(
                chain.from_iterable(
                    range(side + start, side + start + chunk)
                    for start in starts
                    for side in (0, lanes)
                )
            )

        return self.e.shuffle(a, b, picked(0)) + self.e.shuffle(a, b, picked(1))
