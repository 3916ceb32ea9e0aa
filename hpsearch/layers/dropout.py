"""Dropout over lanes: each lane its own rate, its own coins, whoever stands beside it.

The coins are a hash of (key, unit, column) and nothing else: not of the row a lane stands in,
not of the width of its pack, not of what was drawn before. The key says trial, step and layer.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from hpsearch.layers.compiler import has_kernels

_UNIT = 0x9E3779B1  # odd, near 2^32 / golden ratio: spreads the units over the numbers
_MIX = (0x21F0AAAD, 0x735A2D97)  # multipliers of the lowbias32 hash
LAST = 0x2C1B3C6D  # odd; multiplies once more after the key is in
_HALF = 2**31  # of the 2^32 values a hash has


class Dropout:
    """One dropout layer of a pack.

    Args:
        n_rows: Lanes there is room for.
        width: Units of the widest lane.
        device: Where the coins are thrown.
    """

    def __init__(self, n_rows: int, width: int, device: torch.device) -> None:
        self._width, self._device = width, device
        self._rates = [0.0] * n_rows
        # of all rows; overwritten in place, because recorded steps read them where they are
        self._tables: dict[torch.dtype, tuple[Tensor, Tensor]] = {}
        self._fronts: dict[tuple[torch.dtype, int], tuple[Tensor, Tensor]] = {}
        self._places: dict[int, Tensor] = {}
        self._examples: dict[tuple[int, int], Tensor] = {}

    def resize(self, n_rows: int) -> None:
        """Make room for ``n_rows`` lanes; those there stay."""
        self._rates = [*self._rates, *([0.0] * n_rows)][:n_rows]
        self._tables.clear()
        self._fronts.clear()

    def set_rate(self, lane: int, rate: float) -> None:
        """Note the probability to drop of the lane in this row."""
        if rate == self._rates[lane]:
            return
        self._rates[lane] = rate
        for threshold, scale in self._tables.values():
            threshold[lane].fill_(_smallest(rate))
            scale[lane].fill_(1 / (1 - rate))

    def drops(self, n_lanes: int) -> bool:
        """Return whether any of the first lanes drops anything."""
        return any(self._rates[:n_lanes])

    def move(self, source: int, target: int) -> None:
        """Take the rate of one row to another."""
        self.set_rate(target, self._rates[source])

    def factors(
        self, keys: Int32[Tensor, "lanes 2"], n_columns: int, dtype: torch.dtype
    ) -> Float[Tensor, "lanes width columns"] | None:
        """Return what to multiply outputs and their gradients by: 0 or 1 / (1 - rate).

        Args:
            keys: Of this step and layer, one pair a lane.
            n_columns: Examples; times steps in a sequence, step after step.
            dtype: Of the factors.

        Returns:
            The factors, or None where no lane drops anything.

        Cost: six passes over int32 numbers of the size of the result; on a GPU one over it.
        """
        n_lanes = keys.shape[0]
        if not self.drops(n_lanes):
            return None
        threshold, scale = self._front(n_lanes, dtype)
        if n_columns not in self._places:
            if len(self._places) > 1:  # the batch and the smaller, last one
                self._places.clear()
            self._places[n_columns] = _places(self._width, n_columns, self._device)
        places = self._places[n_columns]
        if has_kernels(self._device.type):
            from hpsearch.layers.kernels.dropout import factors

            return factors(places, keys, threshold, scale, _signed(LAST))
        first, second = keys[:, None, None, 0], keys[:, None, None, 1]
        coins = (places ^ first).mul_(second | 1)
        coins = coins.bitwise_xor_(coins >> 15).mul_(_signed(LAST))
        return (coins >= threshold).to(dtype).mul_(scale)

    def by_example(
        self, n_lanes: int, n_columns: int, dtype: torch.dtype, n_steps: int = 1
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what coins are made of, for those who throw them example by example.

        The well-mixed numbers ``[columns, width]``, the smallest coins that are kept, and what
        is kept is multiplied by, ``[lanes, 1, 1]`` each. Of several steps, those of an example
        follow each other, while :meth:`factors` has them step after step.
        """
        key = n_columns, n_steps
        if key not in self._examples:
            if len(self._examples) > 1:  # the batch and the smaller, last one
                self._examples.clear()
            places = _places(self._width, n_columns, self._device)
            by_example = places.view(self._width, n_steps, -1).permute(2, 1, 0).contiguous()
            self._examples[key] = by_example.view(n_columns, self._width)
        return self._examples[key], *self._front(n_lanes, dtype)

    def _front(self, n_lanes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        key = (dtype, n_lanes)
        if key not in self._fronts:
            if dtype not in self._tables:
                self._tables[dtype] = _table(self._rates, dtype, self._device)
            threshold, scale = self._tables[dtype]
            self._fronts[key] = threshold[:n_lanes], scale[:n_lanes]
        return self._fronts[key]


def _smallest(rate: float) -> int:
    """Return the smallest coin that is kept."""
    return min(round(rate * 2 * _HALF), 2 * _HALF - 1) - _HALF


def _table(
    rates: Sequence[float], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the smallest coin that is kept and the factor of what is kept, per lane."""
    smallest = [_smallest(rate) for rate in rates]
    threshold = torch.tensor(smallest, dtype=torch.int32, device=device)
    scale = torch.tensor([1 / (1 - rate) for rate in rates], dtype=torch.float64)
    return threshold[:, None, None], scale.to(device, dtype)[:, None, None]


def _places(width: int, n_columns: int, device: torch.device) -> Tensor:
    """Return a well-mixed number for each (unit, column), the same in every pack."""
    unit = torch.arange(width, device=device)[:, None]
    column = torch.arange(n_columns, device=device)[None, :]
    number = (unit * _UNIT + column) & (2 * _HALF - 1)  # int64 holds every product
    for multiplier in _MIX:
        number = number ^ (number >> 16)
        number = _product(number, multiplier)
    number = number ^ (number >> 15)
    return (number - ((number >= _HALF).long() * 2 * _HALF)).to(torch.int32)


def _product(number: Tensor, multiplier: int) -> Tensor:
    """Return the product modulo 2^32 of numbers below 2^32, without leaving int64."""
    low, high = multiplier & 0xFFFF, multiplier >> 16
    return (number * low + (((number * high) & 0xFFFF) << 16)) & (2 * _HALF - 1)


def _signed(number: int) -> int:
    return number - 2 * _HALF if number >= _HALF else number
