"""Vectors, whole numbers and loops of a kernel while it is written: a thin coat over LLVM.

A kernel is a function of whole numbers: sizes, strides in bytes, addresses. Arithmetic is
written with the usual signs; every sign becomes an instruction of the kernel. Nothing is
contracted or reordered by the compiler: what is one rounding is asked for by :meth:`Vector.fma`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Union

from llvmlite import ir

_INT = ir.IntType(64)
_KERNEL = ir.FunctionType(ir.VoidType(), [_INT])
TYPES = {"float32": ir.FloatType(), "float64": ir.DoubleType()}

Whole = Union["Int", int]

_LEAST_EXP = -87.0  # e to the power of it is still a normal number
_MOST_EXP = 88.0  # and that of it no infinite one
_LOG2_E = 1.44269504088896341
_LN_2 = (0.693359375, -2.12194440e-4)  # its sum, the first part exact in a few bits
_EXP = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
_NEAR = 0.625  # of tanh: up to here its polynomial is the better one
_TANH = (
    -5.70498872745e-3,
    2.06390887954e-2,
    -5.37397155531e-2,
    1.33314422036e-1,
    -3.33332819422e-1,
)


class _BFloat16(ir.Type):  # type: ignore[misc] # llvmlite has no types
    """The type llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash("bfloat")


BFLOAT16 = _BFloat16()


class Emitter:
    """Writes one kernel.

    Args:
        module: Where it goes.
        name: Of the function; it takes the address of its arguments, whole numbers.
    """

    def __init__(self, module: ir.Module, name: str) -> None:
        function = ir.Function(module, _KERNEL, name)
        self.module = module
        self._entry = ir.IRBuilder(function.append_basic_block("entry"))
        body = function.append_basic_block("body")
        self.b = ir.IRBuilder(body)
        self._body = body
        self._arguments = Int(self, function.args[0])

    def argument(self, number: int) -> "Int":
        """Return an argument, counted from 0."""
        return self.load_whole(self._arguments + number * 8)

    def finish(self) -> None:
        """End the kernel."""
        self.b.ret_void()
        self._entry.branch(self._body)

    # --- whole numbers and loops ---------------------------------------------------------------

    def whole(self, value: Whole) -> "Int":
        """Return a whole number of the kernel."""
        return value if isinstance(value, Int) else Int(self, ir.Constant(_INT, value))

    @contextmanager
    def loop(self, stop: Whole, step: int = 1) -> Iterator["Int"]:
        """Repeat what is written inside for every number from 0 to before ``stop``."""
        b, function = self.b, self.b.function
        head, body, end = (function.append_basic_block(name) for name in ("head", "body", "end"))
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        number = b.phi(_INT)
        number.add_incoming(ir.Constant(_INT, 0), before)
        b.cbranch(b.icmp_signed("<", number, self.whole(stop).value), body, end)
        b.position_at_end(body)
        yield Int(self, number)
        number.add_incoming(b.add(number, ir.Constant(_INT, step)), b.block)
        b.branch(head)
        b.position_at_end(end)

    @contextmanager
    def when(self, condition: Any) -> Iterator[None]:
        """Do what is written inside if the condition holds."""
        with self.b.if_then(condition):
            yield

    @contextmanager
    def either(self, condition: Any) -> Iterator[tuple[Any, Any]]:
        """Yield two contexts: what is written in the first is done if the condition holds."""
        with self.b.if_else(condition) as both:
            yield both

    # --- memory --------------------------------------------------------------------------------

    def variable(self, start: "Vector") -> "Variable":
        """Return a variable, which lives in a register where there is one."""
        place = self._entry.alloca(start.value.type)
        variable = Variable(self, place)
        variable.set(start)
        return variable

    def room(self, n: int, kind: ir.VectorType) -> "Int":
        """Return the address of memory of the kernel's own, for ``n`` vectors."""
        place = self._entry.alloca(kind, n)
        return Int(self, self._entry.ptrtoint(place, _INT))

    def load(self, address: "Int", kind: Any) -> "Vector":
        """Return what stands at an address."""
        value = self.b.load(self._pointer(address, kind), align=_size(_element(kind)))
        return Vector(self, value)

    def load_whole(self, address: "Int", bits: int = 64) -> "Int":
        """Return the whole number that stands at an address; one of 8 bits has no sign."""
        value = self.b.load(self._pointer(address, ir.IntType(bits)), align=bits // 8)
        return Int(self, value if bits == 64 else self.b.zext(value, _INT))

    def store_whole(self, number: "Int", address: "Int") -> None:
        """Write a whole number to an address."""
        self.b.store(number.value, self._pointer(address, _INT), align=8)

    def invoke(self, kernel: "Int", arguments: "Int") -> None:
        """Call the kernel at an address."""
        self.b.call(self.b.inttoptr(kernel.value, _KERNEL.as_pointer()), [arguments.value])

    def load_bytes(self, address: "Int", kind: ir.VectorType) -> "Vector":
        """Return bytes that stand at an address as real numbers."""
        value = self.b.load(
            self._pointer(address, ir.VectorType(ir.IntType(8), kind.count)), align=1
        )
        wide = self.b.zext(value, ir.VectorType(ir.IntType(32), kind.count))
        return Vector(self, self.b.sitofp(wide, kind))

    def store(self, vector: "Vector", address: "Int") -> None:
        """Write to an address."""
        kind = vector.value.type
        self.b.store(vector.value, self._pointer(address, kind), align=_size(_element(kind)))

    def load_where(self, mask: Any, address: "Int", kind: ir.VectorType) -> "Vector":
        """Return what stands at an address; zeros where the mask says no, which are not read.

        No mask: all of it.
        """
        if mask is None:
            return self.load(address, kind)
        pointer = self._pointer(address, kind)
        return Vector(
            self,
            self._call(
                f"llvm.masked.load.{_suffix(kind)}.p0",
                kind,
                pointer,
                self._i32(_size(kind.element)),
                mask,
                ir.Constant(kind, [0.0] * kind.count),
            ),
        )

    def store_where(self, mask: Any, vector: "Vector", address: "Int") -> None:
        """Write to an address where the mask says so; no mask: everywhere."""
        if mask is None:
            self.store(vector, address)
            return
        kind = vector.value.type
        self._call(
            f"llvm.masked.store.{_suffix(kind)}.p0",
            ir.VoidType(),
            vector.value,
            self._pointer(address, kind),
            self._i32(_size(kind.element)),
            mask,
        )

    def prefetch(self, address: "Int", *, is_read: bool = False) -> None:
        """Ask for the line at an address, which is about to be written, or read only."""
        pointer = self._pointer(address, ir.IntType(8))
        self._call(
            "llvm.prefetch.p0",
            ir.VoidType(),
            pointer,
            self._i32(0 if is_read else 1),
            self._i32(3),
            self._i32(1),
        )

    def whole_like(self, address: "Int", lanes: int) -> Any:
        """Return a vector of the one whole number of 32 bits that stands at an address."""
        value = self.b.load(self._pointer(address, ir.IntType(32)), align=4)
        return self._splat(value, lanes)

    def whole_splat(self, number: "Int", lanes: int) -> Any:
        """Return a vector of the last 32 bits of one whole number."""
        return self._splat(self.b.trunc(number.value, ir.IntType(32)), lanes)

    def whole_constant(self, value: int, lanes: int) -> Any:
        """Return a vector of one whole number of 32 bits."""
        return ir.Constant(ir.VectorType(ir.IntType(32), lanes), [value] * lanes)

    def wholes_where(self, mask: Any, address: "Int", lanes: int) -> Any:
        """Return whole numbers of 32 bits at an address; zeros where the mask says no."""
        kind = ir.VectorType(ir.IntType(32), lanes)
        return self._call(
            f"llvm.masked.load.{_suffix(kind)}.p0",
            kind,
            self._pointer(address, kind),
            self._i32(4),
            mask,
            ir.Constant(kind, [0] * lanes),
        )

    def first(self, n: Whole, kind: ir.VectorType) -> Any:
        """Return a mask: whether a place of a vector is among the first ``n``."""
        count = kind.count
        # not more than there are places: a lane may have more numbers than 32 bits count
        n32 = self.b.trunc(self.whole(n).min(count).value, ir.IntType(32))
        places = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count)))
        return self.b.icmp_signed("<", places, self._splat(n32, count))

    def _pointer(self, address: "Int", kind: Any) -> Any:
        return self.b.inttoptr(address.value, kind.as_pointer())

    def _i32(self, value: int) -> Any:
        return ir.Constant(ir.IntType(32), value)

    # --- vectors -------------------------------------------------------------------------------

    def constant(self, value: float, kind: Any) -> "Vector":
        """Return a vector of one number, or the number itself."""
        if isinstance(kind, ir.VectorType):
            return Vector(self, ir.Constant(kind, [value] * kind.count))
        return Vector(self, ir.Constant(kind, value))

    def broadcast(self, scalar: "Vector", kind: ir.VectorType) -> "Vector":
        """Return a vector of one number, known when the kernel runs."""
        return Vector(self, self._splat(scalar.value, kind.count))

    def _splat(self, value: Any, count: int) -> Any:
        kind = ir.VectorType(value.type, count)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, self._i32(0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), places)

    def shuffle(self, a: "Vector", b: "Vector", places: Sequence[int]) -> "Vector":
        """Return the numbers at these places of both vectors, one behind the other."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
        return Vector(self, self.b.shuffle_vector(a.value, b.value, mask))

    def call(self, name: str, *vectors: "Vector") -> "Vector":
        """Return what an operation of LLVM makes of vectors of one type."""
        kind = vectors[0].value.type
        return Vector(
            self, self._call(f"{name}.{_suffix(kind)}", kind, *(v.value for v in vectors))
        )

    def places(self, start: "Int", kind: ir.VectorType) -> Any:
        """Return the numbers of the places of a vector whose first one has this number."""
        count = kind.count
        first = self._splat(self.b.trunc(start.value, ir.IntType(32)), count)
        steps = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count)))
        return self.b.add(first, steps)

    def are(self, sign: str, places: Any, number: "Int") -> Any:
        """Return where numbers of places compare so with a number."""
        one = self.b.trunc(number.value, ir.IntType(32))
        return self.b.icmp_signed(sign, places, self._splat(one, places.type.count))

    def both(self, a: Any, b: Any) -> Any:
        """Return where both conditions hold."""
        return self.b.and_(a, b)

    def scaled(self, a: "Vector", powers: "Vector") -> "Vector":
        """Return float32 numbers times two to the power of whole ones, in [-126, 127]."""
        kind = a.value.type
        wide = ir.VectorType(ir.IntType(32), kind.count)
        biased = self.b.fptosi((powers + 127.0).value, wide)
        bits = self.b.shl(biased, ir.Constant(wide, [23] * kind.count))
        return a * Vector(self, self.b.bitcast(bits, kind))

    def widened(self, a: "Vector") -> "Vector":
        """Return a number as float64."""
        if str(a.value.type) == "double":
            return a
        return Vector(self, self.b.fpext(a.value, ir.DoubleType()))

    def real(self, number: "Int", kind: Any) -> "Vector":
        """Return a whole number as a real one."""
        return Vector(self, self.b.sitofp(number.value, kind))

    def pairs_dot(self, total: "Vector", a: "Vector", b: "Vector") -> "Vector":
        """Return a sum with the products of two pairs of bfloat16 numbers added at each place."""
        count = total.value.type.count
        halves = ir.VectorType(BFLOAT16, 2 * count)
        return Vector(
            self,
            self._call(
                f"llvm.x86.avx512bf16.dpbf16ps.{32 * count}",
                total.value.type,
                total.value,
                self.b.bitcast(a.value, halves),
                self.b.bitcast(b.value, halves),
            ),
        )

    def pairs(self, a: "Vector", b: "Vector") -> "Vector":
        """Return both vectors rounded to bfloat16, their numbers side by side, as 32-bit units."""
        wide = ir.VectorType(ir.IntType(32), a.value.type.count)
        low, high = (self.b.zext(self._rounded(v), wide) for v in (a, b))
        shift = ir.Constant(wide, [16] * wide.count)
        return Vector(self, self.b.or_(low, self.b.shl(high, shift)))

    def rounded(self, a: "Vector") -> "Vector":
        """Return a vector rounded to bfloat16, as 16-bit units."""
        return Vector(self, self._rounded(a))

    def _rounded(self, a: "Vector") -> Any:
        count = a.value.type.count
        half = self.b.fptrunc(a.value, ir.VectorType(BFLOAT16, count))
        return self.b.bitcast(half, ir.VectorType(ir.IntType(16), count))

    def _call(self, name: str, result: Any, *values: Any) -> Any:
        kind = ir.FunctionType(result, [value.type for value in values])
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, kind, name)
        return self.b.call(function, values)


class Int:
    """A whole number of a kernel; addresses are such numbers, too."""

    __slots__ = ("_e", "value")

    def __init__(self, emitter: Emitter, value: Any) -> None:
        self._e, self.value = emitter, value

    def __add__(self, other: Whole) -> "Int":
        return Int(self._e, self._e.b.add(self.value, self._e.whole(other).value))

    def __radd__(self, other: Whole) -> "Int":
        return self + other

    def __sub__(self, other: Whole) -> "Int":
        return Int(self._e, self._e.b.sub(self.value, self._e.whole(other).value))

    def __rsub__(self, other: int) -> "Int":
        return self._e.whole(other) - self

    def __mul__(self, other: Whole) -> "Int":
        return Int(self._e, self._e.b.mul(self.value, self._e.whole(other).value))

    def __rmul__(self, other: Whole) -> "Int":
        return self * other

    def __floordiv__(self, other: Whole) -> "Int":
        return Int(self._e, self._e.b.sdiv(self.value, self._e.whole(other).value))

    def __lt__(self, other: Whole) -> Any:
        return self._e.b.icmp_signed("<", self.value, self._e.whole(other).value)

    def __ge__(self, other: Whole) -> Any:
        return self._e.b.icmp_signed(">=", self.value, self._e.whole(other).value)

    def is_(self, other: Whole) -> Any:
        """Return whether it equals another."""
        return self._e.b.icmp_signed("==", self.value, self._e.whole(other).value)

    def min(self, other: Whole) -> "Int":
        """Return the smaller one."""
        return Int(self._e, self._e.b.select(self < other, self.value, self._e.whole(other).value))

    def ceil(self, unit: int) -> "Int":
        """Return how many units it takes to hold so many."""
        return (self + (unit - 1)) // unit


class Vector:
    """Real numbers of a kernel, several at once, or one; or bits that stand for some."""

    __slots__ = ("_e", "value")

    def __init__(self, emitter: Emitter, value: Any) -> None:
        self._e, self.value = emitter, value

    def _other(self, other: "Vector | float") -> Any:
        if isinstance(other, Vector):
            return other.value
        return self._e.constant(other, self.value.type).value

    def __add__(self, other: "Vector | float") -> "Vector":
        return Vector(self._e, self._e.b.fadd(self.value, self._other(other)))

    def __sub__(self, other: "Vector | float") -> "Vector":
        return Vector(self._e, self._e.b.fsub(self.value, self._other(other)))

    def __rsub__(self, other: float) -> "Vector":
        return Vector(self._e, self._e.b.fsub(self._other(other), self.value))

    def __rtruediv__(self, other: float) -> "Vector":
        return Vector(self._e, self._e.b.fdiv(self._other(other), self.value))

    def __mul__(self, other: "Vector | float") -> "Vector":
        return Vector(self._e, self._e.b.fmul(self.value, self._other(other)))

    def __truediv__(self, other: "Vector | float") -> "Vector":
        return Vector(self._e, self._e.b.fdiv(self.value, self._other(other)))

    def fma(self, factor: "Vector", more: "Vector") -> "Vector":
        """Return the product with a factor, plus more, rounded once."""
        return self._e.call("llvm.fma", self, factor, more)

    def sqrt(self) -> "Vector":
        """Return the square root."""
        return self._e.call("llvm.sqrt", self)

    def abs(self) -> "Vector":
        """Return the absolute value."""
        return self._e.call("llvm.fabs", self)

    def maximum(self, other: "Vector") -> "Vector":
        """Return the larger one; NaN if either is."""
        return self._e.call("llvm.maximum", self, other)

    def where(self, condition: Any, other: "Vector | float") -> "Vector":
        """Return this where a condition holds, another where it does not."""
        return Vector(self._e, self._e.b.select(condition, self.value, self._other(other)))

    def exceeds(self, other: "Vector | float") -> Any:
        """Return where this is larger."""
        return self._e.b.fcmp_ordered(">", self.value, self._other(other))

    def below(self, other: "Vector | float") -> Any:
        """Return where this is smaller."""
        return self._e.b.fcmp_ordered("<", self.value, self._other(other))

    def equals(self, other: "Vector | float") -> Any:
        """Return where this is the same number."""
        return self._e.b.fcmp_ordered("==", self.value, self._other(other))

    def nearest(self) -> "Vector":
        """Return the nearest whole numbers."""
        return self._e.call("llvm.rint", self)

    def exp(self) -> "Vector":
        """Return e to the power of this; NaN stays NaN.

        float32: within two units of the last place, by range reduction and a polynomial, as in
        Moshier, Methods and programs for mathematical functions, 1989; below -87 as at -87, and
        above 88 as at 88.
        """
        if str(_element(self.value.type)) == "double":
            return self._e.call("llvm.exp", self)
        x = self._like(_LEAST_EXP).where(self.below(_LEAST_EXP), self)
        x = self._like(_MOST_EXP).where(x.exceeds(_MOST_EXP), x)
        power = (x * _LOG2_E).nearest()
        power = power.where(power.equals(power), 0.0)  # of NaN, which the rest keeps
        r = power.fma(self._like(-_LN_2[0]), x)
        r = power.fma(self._like(-_LN_2[1]), r)
        y = self._like(_EXP[0])
        for coefficient in _EXP[1:]:
            y = y.fma(r, self._like(coefficient))
        return self._e.scaled(y.fma(r * r, r) + 1.0, power)

    def tanh(self) -> "Vector":
        """Return the hyperbolic tangent; NaN stays NaN. float32: as :meth:`exp`, same source."""
        if str(_element(self.value.type)) == "double":
            return self._e.call("llvm.tanh", self)
        size = self.abs()
        far = 1.0 - 2.0 / ((size + size).exp() + 1.0)
        square = self * self
        near = self._like(_TANH[0])
        for coefficient in _TANH[1:]:
            near = near.fma(square, self._like(coefficient))
        near = (near * square).fma(self, self)
        far = self._e.call("llvm.copysign", far, self)
        return far.where(size.exceeds(_NEAR), near)

    def _like(self, value: float) -> "Vector":
        return self._e.constant(value, self.value.type)

    def folded(self, operation: Callable[["Vector", "Vector"], "Vector"]) -> "Vector":
        """Return one number: what an operation makes of all of a vector, half by half."""
        vector, count = self, self.value.type.count
        while count > 1:
            count //= 2
            low, high = (
                self._e.shuffle(vector, vector, range(start, start + count))
                for start in (0, count)
            )
            vector = operation(low, high)
        first = ir.Constant(ir.IntType(32), 0)
        return Vector(self._e, self._e.b.extract_element(vector.value, first))


class Variable:
    """A vector that changes while the kernel runs."""

    __slots__ = ("_e", "_place")

    def __init__(self, emitter: Emitter, place: Any) -> None:
        self._e, self._place = emitter, place

    def get(self) -> Vector:
        """Return its present value."""
        return Vector(self._e, self._e.b.load(self._place))

    def set(self, vector: Vector) -> None:
        """Give it another."""
        self._e.b.store(vector.value, self._place)


def _element(kind: Any) -> Any:
    return kind.element if isinstance(kind, ir.VectorType) else kind


def _size(kind: Any) -> int:
    if isinstance(kind, ir.IntType):
        return int(kind.width) // 8
    return {"float": 4, "double": 8, "bfloat": 2}[str(kind)]


def _suffix(kind: Any) -> str:
    """Return a type as it stands in the name of an operation of LLVM."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_suffix(kind.element)}"
    return {"float": "f32", "double": "f64", "i32": "i32"}[str(kind)]
