"""What tests of native kernels share: ways to compute, memory that is watched, calls by name."""

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import pytest
import torch
from torch import Tensor

pytest.importorskip("llvmlite")

from llvmlite import binding

from hpsearch.native.kernels import ARGUMENTS, DROPPED, MEASURED, scratch_bytes
from hpsearch.native.library import kernel
from hpsearch.native.processor import Processor
from hpsearch.native.rules import RULES
from hpsearch.native.tiles import Shape, shape_of

_PAGE = mmap.PAGESIZE
_UNTOUCHED = 0xFF  # bytes of it are NaN in every format: what is read by mistake shows
_LIBRARY = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Place:
    """How numbers stand in memory.

    Attributes:
        gap: Numbers between two rows, and rows between two lanes.
        is_last: Whether the last number is the last before a page nobody may touch; else the
            first one is the first behind such a page, but for ``shift`` numbers.
        shift: See above.
    """

    gap: int = 0
    is_last: bool = True
    shift: int = 0


PLAIN = Place()


class Memory:
    """Numbers between pages nobody may touch, and bytes nobody may change.

    Attributes:
        tensor: The numbers, NaN at first.
        address: Of the first one.
        strides: In bytes.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, place: Place = PLAIN) -> None:
        size = dtype.itemsize
        outer = list(shape)
        outer[-2:] = [n + place.gap for n in outer[-2:]]
        strides = [prod(outer[axis + 1 :]) for axis in range(len(outer))]
        n_bytes = (1 + sum((n - 1) * one for n, one in zip(shape, strides, strict=True))) * size
        room = -(-(n_bytes + place.shift * size) // _PAGE) * _PAGE
        whole = mmap.mmap(-1, room + 2 * _PAGE)
        self._bytes = torch.frombuffer(whole, dtype=torch.uint8)[_PAGE : _PAGE + room]
        self._bytes.fill_(_UNTOUCHED)
        for page in (-_PAGE, room):
            _forbid(self._bytes.data_ptr() + page)
        start = room - n_bytes if place.is_last else place.shift * size
        self._place = (dtype, start // size, shape, strides)
        self.tensor = _numbers(self._bytes, *self._place)
        self.address = self.tensor.data_ptr()
        self.strides = [stride * size for stride in strides]

    @classmethod
    def of(cls, numbers: Tensor, place: Place = PLAIN) -> "Memory":
        """Return memory that holds these numbers."""
        memory = cls(numbers.shape, numbers.dtype, place)
        memory.tensor.copy_(numbers)
        return memory

    def is_intact(self) -> bool:
        """Return whether nothing around the numbers was changed."""
        rest = self._bytes.clone()
        _numbers(rest, *self._place).view(torch.uint8).fill_(_UNTOUCHED)
        return bool((rest == _UNTOUCHED).all())

    def reach(self) -> int:
        """Return how many bytes from the first number on hold all that was changed."""
        (changed,) = (self._bytes != _UNTOUCHED).nonzero(as_tuple=True)
        if not len(changed):
            return 0
        dtype, first, _, _ = self._place
        return int(changed[-1]) + 1 - first * dtype.itemsize


@dataclass(frozen=True)
class Way:
    """A processor this machine can stand in for, and a format of numbers."""

    processor: Processor
    dtype: torch.dtype
    is_paired: bool = False

    def __str__(self) -> str:
        return f"{self.processor.vector_bytes}-{'pairs' if self.is_paired else self._dtype_name}"

    @property
    def _dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @property
    def shape(self) -> Shape:
        """How blocks are cut."""
        return shape_of(self.processor, self._dtype_name, is_paired=self.is_paired)

    def call(self, name: str, variant: str = "", **arguments: "int | Memory") -> int:
        """Call a kernel with its arguments by name; see that it touches nothing else.

        Scratch memory is added where none is given, of exactly the size a layer is said to need.

        Returns:
            Bytes of the scratch memory that were written to.
        """
        sizes = [arguments.get(one, 0) for one in ("batch", "outputs", "inputs")]
        scratch = arguments.get("scratch")
        if not isinstance(scratch, Memory):
            scratch = Memory((scratch_bytes(*sizes),), torch.uint8)  # type: ignore[arg-type] # sizes are numbers
        values = [{**arguments, "scratch": scratch}.get(one, 0) for one in ARGUMENTS[name]]
        run = kernel(
            self.processor, name, self._dtype_name, is_paired=self.is_paired, variant=variant
        )
        run(*(one.address if isinstance(one, Memory) else one for one in values))
        assert all(one.is_intact() for one in values if isinstance(one, Memory))
        return scratch.reach()

    def rounded(self, numbers: Tensor) -> Tensor:
        """Return numbers as they are multiplied, in float64."""
        return (numbers.bfloat16() if self.is_paired else numbers).double()


def _numbers(
    whole: Tensor, dtype: torch.dtype, first: int, shape: Sequence[int], strides: Sequence[int]
) -> Tensor:
    numbers = whole.view(dtype)
    return numbers.as_strided(shape, strides, numbers.storage_offset() + first)


def _forbid(address: int) -> None:
    code = _LIBRARY.mprotect(ctypes.c_void_p(address), _PAGE, 0)
    assert code == 0, ctypes.get_errno()


def _processors() -> list[Processor]:
    """Return this machine's processor as kernels know it, and as one that lacks AVX-512."""
    has = dict(binding.get_host_cpu_features())

    def like(vector_bytes: int, n_registers: int, *absent: str, has_pairs: bool) -> Processor:
        features = ",".join(
            f"{'+' if there and not feature.startswith(absent) else '-'}{feature}"
            for feature, there in has.items()
        )
        name = binding.get_host_cpu_name()
        return Processor(
            vector_bytes, n_registers, has_pairs, has_tiles=False, name=name, features=features
        )

    found = []
    if all(has.get(f"avx512{part}") for part in ("f", "vl", "bw", "dq")):
        found.append(like(64, 32, "amx", has_pairs=bool(has.get("avx512bf16"))))
    if has.get("avx2") and has.get("fma"):
        found.append(like(32, 16, "amx", "avx512", "avx10", has_pairs=False))
    return found


WAYS = [
    Way(processor, dtype, is_paired)
    for processor in _processors()
    for dtype, is_paired in ((torch.float32, False), (torch.float64, False), (torch.float32, True))
    if processor.has_pairs or not is_paired
]
UNPAIRED = [way for way in WAYS if not way.is_paired]


# --- numbers -----------------------------------------------------------------------------------


def whole(way: Way, seed: int, *shape: int) -> Tensor:
    """Return small whole numbers: sums of their products are exact in every format."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-4, 5, shape, generator=generator).to(way.dtype)


def normal(way: Way, seed: int, *shape: int) -> Tensor:
    """Return random numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(way.dtype)


def bits(numbers: Tensor) -> Tensor:
    """Return numbers as whole ones, which are equal if every bit is."""
    return numbers.contiguous().view(torch.int64 if numbers.dtype.itemsize == 8 else torch.int32)


# --- kernels -----------------------------------------------------------------------------------


def affine(
    way: Way,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    activation: str = "none",
    place: Place = PLAIN,
) -> Tensor:
    """Return ``f(x[k] weight[k]^T + bias[k])``; a matrix ``x`` is shared by all lanes."""
    z = _output(way, place, weight.shape[0], x.shape[-2], weight.shape[1])
    way.call(
        "affine",
        activation,
        **_sizes(weight, x),
        weight=Memory.of(weight),
        bias=Memory.of(bias),
        z=z,
        **_rows("x", x, place),
    )
    return z.tensor


def input_gradient(
    way: Way,
    d: Tensor,
    weight: Tensor,
    h: Tensor | None = None,
    activation: str = "none",
    place: Place = PLAIN,
    factors: Tensor | None = None,
) -> Tensor:
    """Return ``f'(h[k]) d[k] weight[k]``, times factors if there are some."""
    out = _output(way, place, weight.shape[0], d.shape[1], weight.shape[2])
    way.call(
        "input_gradient",
        activation + ("" if factors is None else DROPPED),
        **_sizes(weight, d),
        weight=Memory.of(weight),
        h=0 if h is None else Memory.of(h),
        factors=0 if factors is None else Memory.of(factors),
        out=out,
        **_rows("d", d, place),
    )
    return out.tensor


def weight_gradient(way: Way, d: Tensor, x: Tensor, place: Place = PLAIN) -> tuple[Tensor, Tensor]:
    """Return ``d[k]^T x[k]`` and the sums of ``d[k]`` over its rows."""
    lanes, _, outputs = d.shape
    weight = _output(way, place, lanes, outputs, x.shape[-1])
    bias = _output(way, place, lanes, outputs)
    way.call(
        "weight_gradient",
        "",
        **_sizes(weight.tensor, d),
        weight_out=weight,
        bias_out=bias,
        **_rows("d", d, place),
        **_rows("x", x, place),
    )
    return weight.tensor, bias.tensor


def update(
    way: Way,
    rule: str,
    weight: Tensor,
    gradient: Tensor,
    buffers: Sequence[Tensor],
    table: Tensor,
    *,
    is_decayed: bool,
    place: Place = PLAIN,
) -> list[Tensor]:
    """Return the new weight and running values of a rule; ``table`` is ``[lanes, names]``."""
    place = replace(place, gap=0)
    changed = [Memory.of(one, place) for one in (weight, *buffers)]
    way.call(
        "update",
        rule,
        lanes=weight.shape[0],
        size=weight[0].numel(),
        weight=changed[0],
        gradient=Memory.of(gradient, place),
        table=Memory.of(table),
        is_decayed=int(is_decayed),
        **dict(zip(("first", "second"), changed[1:], strict=False)),
    )
    return [one.tensor for one in changed]


def weight_step(
    way: Way,
    rule: str,
    d: Tensor,
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    table: Tensor,
    place: Place = PLAIN,
    signs: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the new weight, bias and running values; each side is its tensor, then these.

    What the step is like is added to ``signs``, if there are some.
    """
    tight = replace(place, gap=0)
    weight, *weight_buffers = (Memory.of(one, tight) for one in weights)
    bias, *bias_buffers = (Memory.of(one, tight) for one in biases)
    running: dict[str, int | Memory] = {}
    for which, *both in zip(("first", "second"), weight_buffers, bias_buffers, strict=False):
        running |= dict(zip((f"weight_{which}", f"bias_{which}"), both, strict=True))
    measured = None if signs is None else Memory.of(signs)
    way.call(
        "weight_step",
        rule + ("" if measured is None else MEASURED),
        **_sizes(weight.tensor, d),
        weight=weight,
        bias=bias,
        table=Memory.of(table),
        **_rows("d", d, place),
        **_rows("x", x, place),
        signs=measured or 0,
        **running,
    )
    if signs is not None and measured is not None:
        signs.copy_(measured.tensor)
    return (
        [one.tensor for one in (weight, *weight_buffers)],
        [one.tensor for one in (bias, *bias_buffers)],
    )


def n_buffers(rule: str) -> int:
    """Return how many running values a rule keeps."""
    return RULES[rule].n_buffers


def _sizes(weight: Tensor, rows: Tensor) -> dict[str, int]:
    lanes, outputs, inputs = weight.shape
    return {"lanes": lanes, "batch": rows.shape[-2], "outputs": outputs, "inputs": inputs}


def _output(way: Way, place: Place, *shape: int) -> Memory:
    return Memory(shape, way.dtype, replace(place, gap=0))


def _rows(prefix: str, numbers: Tensor, place: Place) -> dict[str, "int | Memory"]:
    memory = Memory.of(numbers, place)
    lane = 0 if numbers.dim() == 2 else memory.strides[0]
    return {prefix: memory, f"{prefix}_lane": lane, f"{prefix}_row": memory.strides[-2]}
